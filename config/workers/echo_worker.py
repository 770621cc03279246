#!/usr/bin/env python3
"""A whole worker: one JSON-RPC message a line on stdin, one a line on stdout, everything else on stderr.

    supervisor serve --workers 2 -- python3 config/workers/echo_worker.py
"""
import json
import os
import sys

METHODS = {
    "health.check": lambda params: {"status": "healthy", "capabilities": {"methods": list(METHODS)}},
    "echo": lambda params: params,
    "add": lambda params: sum(params),
    "whoami": lambda params: {"worker_id": os.environ.get("WORKER_ID"), "pid": os.getpid()},
}

for line in sys.stdin:
    request = json.loads(line)  # the supervisor passes on valid JSON only
    if "id" not in request:
        continue  # a notification wants no answer
    answer = {"jsonrpc": "2.0", "id": request["id"]}
    try:
        answer["result"] = METHODS[request["method"]](request.get("params"))
    except KeyError:
        answer["error"] = {"code": -32601, "message": f"Method not found: {request['method']}"}
    except Exception as error:
        answer["error"] = {"code": -32603, "message": str(error)}
    print(json.dumps(answer), flush=True)
