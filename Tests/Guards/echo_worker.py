"""The worker behind the supervisor that is measured: answers every call with the same result, as fast as Python can."""
import os
import sys

HEALTH = b'{"status":"healthy","capabilities":{"max_concurrency":64,"cacheable":["cached"]}}'
RESULT = b'{"answer":"' + b"a" * 200 + b'"}'
ID = b'"id":'

rest = b""
while received := os.read(0, 1 << 16):
    *lines, rest = (rest + received).split(b"\n")
    answers = []
    for line in lines:
        # The supervisor writes requests anew: the id is a number and stands before all that a client wrote.
        start = line.find(ID) + len(ID)
        number = line[start : line.find(b",", start)]
        result = HEALTH if b'"method":"health.check"' in line else RESULT
        answers.append(b'{"jsonrpc":"2.0","id":%s,"result":%s}\n' % (number, result))
    sys.stdout.buffer.write(b"".join(answers))
    sys.stdout.buffer.flush()
