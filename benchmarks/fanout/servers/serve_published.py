"""The rooms on the published pondsocket 0.0.7, on uvicorn."""

import serving
import uvicorn
from rooms import build

from pondsocket import Options
from pondsocket_asgi import PondASGIApp

if __name__ == "__main__":
    config = uvicorn.Config(
        PondASGIApp(build(Options())), loop="asyncio", log_level="warning"
    )
    serving.run(lambda listener: uvicorn.Server(config).serve([listener]))
