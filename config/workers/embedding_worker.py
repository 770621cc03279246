"""A worker that embeds, and keeps the vectors of its own queries in the supervisor's embedding cache.
Its vectors are a toy: words hashed into 64 numbers, near when they share words. Put a model into `embed`.
Start it: supervisor serve -- python3 config/workers/embedding_worker.py
Ask it:   supervisor call nearest '{"query": "red fox", "texts": ["a red fox", "the sea"]}'"""
import base64, hashlib, itertools, json, math, os, queue, struct, sys, threading, time

MODEL, DIMENSIONS = "toy-hash-64", 64
PACKING = f"<{DIMENSIONS}f"  # little-endian float32
messages, postponed, numbers = queue.Queue(), [], itertools.count(1)

def embed(text):
    vector = [0.0] * DIMENSIONS
    for word in text.lower().split():
        digest = hashlib.sha256(word.encode()).digest()
        vector[digest[0] % DIMENSIONS] += 1.0 if digest[1] % 2 else -1.0
    length = math.hypot(*vector) or 1.0
    return [number / length for number in vector]

def write(message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)

def read_stdin():
    for line in sys.stdin:
        try:
            messages.put(json.loads(line))
        except ValueError:
            print("not JSON:", line[:40], file=sys.stderr)
    messages.put(None)

def ask(method, params, patience=0.25):
    """The supervisor's answer; None without one, or when it takes too long: a cache is no reason to fail."""
    if "SUPERVISOR_INSTANCE" not in os.environ:
        return None
    number = f"w{next(numbers)}"  # a string: the supervisor's own ids are numbers
    write({"id": number, "method": method, "params": params})
    end = time.monotonic() + patience
    try:
        while True:
            message = messages.get(timeout=max(0, end - time.monotonic()))
            if message is not None and "method" not in message and message.get("id") == number:
                return message.get("result")
            postponed.append(message)  # a request that came in between, or the end of the input
    except queue.Empty:
        return None

def cached_vectors(texts):
    found = ask("embedding_cache.get", {"model": MODEL, "texts": texts})
    if not found:
        return [embed(text) for text in texts]
    kept = [vector and struct.unpack(PACKING, base64.b64decode(vector)) for vector in found["embeddings"]]
    new = {text: embed(text) for text, vector in zip(texts, kept) if vector is None}
    if new:
        packed = [base64.b64encode(struct.pack(PACKING, *vector)).decode() for vector in new.values()]
        write({"method": "embedding_cache.put", "params": {"model": MODEL, "texts": [*new], "embeddings": packed}})
    return [vector or new[text] for text, vector in zip(texts, kept)]

def nearest(params):
    query, *vectors = cached_vectors([params["query"], *params["texts"]])
    scores = [sum(x * y for x, y in zip(query, vector)) for vector in vectors]
    return params["texts"][scores.index(max(scores))]

def create(params):  # the supervisor has looked these texts up already: they are not in its cache
    texts = [params["input"]] if isinstance(params["input"], str) else params["input"]
    return {"model": MODEL, "dimensions": DIMENSIONS, "embeddings": [embed(text) for text in texts]}

CAPABILITIES = {"methods": ["embedding.create", "nearest", "health.check"], "embedding_model": MODEL}
METHODS = {"embedding.create": create, "nearest": nearest,
           "health.check": lambda params: {"status": "healthy", "capabilities": CAPABILITIES}}
threading.Thread(target=read_stdin, daemon=True).start()
while (request := postponed.pop(0) if postponed else messages.get()) is not None:
    try:
        reply = {"result": METHODS[request["method"]](request.get("params"))} if "method" in request else {}
    except Exception as error:  # the call fails, the worker lives
        known = request["method"] in METHODS
        reason = repr(error) if known else f"Method not found: {request['method']}"
        reply = {"error": {"code": -32602 if known else -32601, "message": reason}}
    if reply and "id" in request:  # neither a late answer nor a notification
        write({"id": request["id"], **reply})
