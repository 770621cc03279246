"""A whole worker: one JSON-RPC message a line on stdin, one a line on stdout, all else on stderr.
Start two of them: supervisor serve --workers 2 -- python3 config/workers/echo_worker.py"""
import json
import sys

METHODS = {
    "health.check": lambda params: {"status": "healthy"},
    "echo": lambda params: params,
    "add": lambda params: sum(params),
}
for line in sys.stdin:
    try:
        request = json.loads(line)
    except ValueError:
        continue  # the supervisor passes on valid JSON only
    reply = {"jsonrpc": "2.0", "id": request.get("id")}
    try:
        reply["result"] = METHODS[request["method"]](request.get("params"))
    except KeyError:
        reply["error"] = {"code": -32601, "message": "Method not found: " + request["method"]}
    except Exception as error:  # a fault of ours: the call fails, the worker lives
        reply["error"] = {"code": -32603, "message": str(error)}
    if "id" in request:  # a notification wants no answer
        print(json.dumps(reply), flush=True)
