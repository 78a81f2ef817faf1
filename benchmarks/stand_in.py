"""A stand-in for a GPU behind an endpoint: ``python -m benchmarks.stand_in CHUNKS_PER_SECOND``.

OpenAI-compatible embeddings at a fixed pace, one request at a time, while the CPU is almost free. The
vectors are bytes of a hash: what is measured is who waits for whom. Prints its port first.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

DIMENSION = 384


def serve(pace: float) -> None:
    """Answer until killed."""
    busy = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
            with busy:
                time.sleep(len(texts) / pace)
            data = [{"object": "embedding", "index": n, "embedding": _vector(t)} for n, t in enumerate(texts)]
            usage = {"prompt_tokens": 0, "total_tokens": 0}
            body = json.dumps({"object": "list", "model": "stand-in", "data": data, "usage": usage}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


def _vector(text: str) -> str:
    digest = hashlib.shake_128(text.encode()).digest(DIMENSION)
    return base64.b64encode(np.frombuffer(digest, np.int8).astype(np.float32).tobytes()).decode()


if __name__ == "__main__":
    serve(float(sys.argv[1]))
