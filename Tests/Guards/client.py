"""A client that keeps a fixed number of calls open on each of its connections."""
import json
import select
import socket


class Client:
    def __init__(self, path: str, connections: int) -> None:
        self.sockets = []
        for _ in range(connections):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(path)
            connection.settimeout(30)
            self.sockets.append(connection)
        self.next_id = 0

    def close(self) -> None:
        for connection in self.sockets:
            connection.close()

    def call(self, method: str, members: str = "") -> dict:
        """One call on the first connection."""
        self.next_id += 1
        text = f'{{"jsonrpc":"2.0","id":{self.next_id},"method":"{method}"{members}}}\n'
        self.sockets[0].sendall(text.encode())
        answer = b""
        while not answer.endswith(b"\n"):
            received = self.sockets[0].recv(1 << 16)
            if not received:
                raise ConnectionError("the supervisor closed the connection")
            answer += received
        return json.loads(answer)

    def run(self, line: bytes, count: int, depth: int) -> None:
        """Makes `count` calls, at most `depth` open on each connection; `%d` in the line is the id.

        Raises ValueError for an answer that is no result."""
        left = count
        open_calls = [0] * len(self.sockets)
        rests = [b""] * len(self.sockets)
        poll = select.poll()
        indices = {}
        for index, connection in enumerate(self.sockets):
            poll.register(connection, select.POLLIN)
            indices[connection.fileno()] = index

        def fill(index: int) -> None:
            nonlocal left
            number = min(depth - open_calls[index], left)
            left -= number
            open_calls[index] += number
            lines = b"".join(line % (self.next_id + place) for place in range(number))
            self.next_id += number
            self.sockets[index].sendall(lines)

        for index in range(len(self.sockets)):
            fill(index)
        while any(open_calls):
            ready = poll.poll(30_000)
            if not ready:
                raise TimeoutError("no answer for 30 s")
            for descriptor, _ in ready:
                index = indices[descriptor]
                received = self.sockets[index].recv(1 << 20)
                if not received:
                    raise ConnectionError("the supervisor closed the connection")
                *answers, rests[index] = (rests[index] + received).split(b"\n")
                for answer in answers:
                    if b'"result":' not in answer:
                        raise ValueError(f"an answer that is no result: {answer[:200]!r}")
                open_calls[index] -= len(answers)
                fill(index)
