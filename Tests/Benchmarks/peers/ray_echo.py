"""Two Ray Serve replicas that send back the JSON they get: python ray_echo.py PORT; ends with its input."""
import sys

import ray
from ray import serve


@serve.deployment(num_replicas=2, max_ongoing_requests=100, ray_actor_options={"num_cpus": 0})
class Echo:
    async def __call__(self, request):
        return await request.json()


ray.init(include_dashboard=False, log_to_driver=False, num_cpus=2, configure_logging=False)
serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1]), "access_log": False})
serve.run(Echo.bind(), name="echo", route_prefix="/")
sys.stdin.read()
serve.shutdown()
ray.shutdown()
