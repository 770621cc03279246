"""Two MOSEC workers that send back the JSON they get: python mosec_echo.py --port PORT"""
from mosec import Server, Worker


class Echo(Worker):
    def forward(self, data):
        return data


if __name__ == "__main__":
    server = Server()
    server.append_worker(Echo, num=2)
    server.run()
