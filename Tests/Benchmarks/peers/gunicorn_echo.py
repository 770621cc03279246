"""A WSGI application that sends back the JSON it gets, for gunicorn."""
import json


def application(environ, start_response):
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = json.dumps(json.loads(environ["wsgi.input"].read(length))).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
