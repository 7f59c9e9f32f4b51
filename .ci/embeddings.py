"""all-MiniLM-L6-v2 behind POST /v1/embeddings on loopback, in numpy: `embeddings.py MODEL_FOLDER PORT`."""
import base64
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import sqrt
from threading import Lock

import numpy as np
from tokenizers import Tokenizer

NAME = "all-minilm-l6-v2"
LAYERS, HEADS, LONGEST = 6, 12, 256


def weights(path):
    """The tensors of a safetensors file: a length, a JSON header, the numbers."""
    with open(path, "rb") as file:
        blob = file.read()
    start = 8 + int.from_bytes(blob[:8], "little")
    header = json.loads(blob[8:start])
    header.pop("__metadata__", None)
    tensors = {}
    for name, tensor in header.items():
        if tensor["dtype"] == "F32":
            first, last = tensor["data_offsets"]
            tensors[name] = np.frombuffer(blob[start + first : start + last], np.float32).reshape(tensor["shape"])
    return tensors


def gelu(x):
    """By the approximation of the error function in Abramowitz and Stegun, 7.1.26 (error below 2e-7)."""
    z = np.abs(x) / np.float32(sqrt(2))
    t = 1 / (1 + np.float32(0.3275911) * z)
    powers = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t
    return x * (1 + np.sign(x) * (1 - powers * np.exp(-z * z))) / 2


class Model:
    def __init__(self, folder):
        self.tensors = weights(folder + "/model.safetensors")
        self.tokenizer = Tokenizer.from_file(folder + "/tokenizer.json")
        self.tokenizer.enable_truncation(LONGEST)
        self.tokenizer.no_padding()

    def linear(self, x, name):
        return x @ self.tensors[name + ".weight"].T + self.tensors[name + ".bias"]

    def norm(self, x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(1e-12))
        return x * self.tensors[name + ".weight"] + self.tensors[name + ".bias"]

    def attention(self, x, mask, name):
        batch, length, size = x.shape
        heads = lambda part: self.linear(x, f"{name}.self.{part}").reshape(batch, length, HEADS, -1).transpose(0, 2, 1, 3)
        query, key, value = heads("query"), heads("key"), heads("value")
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32(sqrt(size / HEADS)) + mask
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ value
        mixed = mixed.transpose(0, 2, 1, 3).reshape(batch, length, size)
        return self.norm(self.linear(mixed, name + ".output.dense") + x, name + ".output.LayerNorm")

    def run(self, ids):
        """The vectors of texts of tokens, padded to the longest of them."""
        length = max(map(len, ids))
        padded = np.array([one + [0] * (length - len(one)) for one in ids])
        known = np.array([[1] * len(one) + [0] * (length - len(one)) for one in ids], np.float32)
        part = lambda name: self.tensors[f"embeddings.{name}_embeddings.weight"]
        x = part("word")[padded] + part("position")[:length] + part("token_type")[0]
        x = self.norm(x, "embeddings.LayerNorm")
        mask = (1 - known[:, None, None, :]) * np.float32(-1e9)
        for layer in range(LAYERS):
            name = f"encoder.layer.{layer}"
            x = self.attention(x, mask, name + ".attention")
            inner = gelu(self.linear(x, name + ".intermediate.dense"))
            x = self.norm(self.linear(inner, name + ".output.dense") + x, name + ".output.LayerNorm")
        mean = (x * known[:, :, None]).sum(1) / known.sum(1, keepdims=True)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    def embed(self, texts):
        """The vectors of texts in their order, and the number of tokens. Texts of like length go together."""
        ids = [one.ids for one in self.tokenizer.encode_batch(texts)]
        order = sorted(range(len(ids)), key=lambda at: len(ids[at]))
        vectors = np.zeros((len(ids), 384), np.float32)
        for at in range(0, len(order), 16):
            some = order[at : at + 16]
            vectors[some] = self.run([ids[one] for one in some])
        return vectors, sum(map(len, ids))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model, lock = None, Lock()

    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status, why):
        self.answer(status, {"error": {"message": why, "type": "invalid_request_error"}})

    def do_GET(self):
        if self.path == "/v1/models":
            self.answer(200, {"object": "list", "data": [{"id": NAME, "object": "model"}]})
        else:
            self.refuse(404, "there is only GET /v1/models and POST /v1/embeddings")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path != "/v1/embeddings":
            return self.refuse(404, "there is only GET /v1/models and POST /v1/embeddings")
        try:
            asked = json.loads(body)
            texts = asked["input"]
            texts = [texts] if isinstance(texts, str) else texts
            if not texts or not all(isinstance(text, str) and text for text in texts):
                raise ValueError("`input` is no text or list of texts, or one of them is empty")
        except Exception as error:
            return self.refuse(400, f"not a request for embeddings: {error}")
        if asked.get("model") != NAME:
            return self.refuse(404, f"the model is {NAME}")
        with self.lock:
            vectors, tokens = self.model.embed(texts)
        is_base64 = asked.get("encoding_format") == "base64"
        said = lambda one: base64.b64encode(one.astype("<f4").tobytes()).decode() if is_base64 else one.tolist()
        data = [{"object": "embedding", "index": at, "embedding": said(one)} for at, one in enumerate(vectors)]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        self.answer(200, {"object": "list", "data": data, "model": NAME, "usage": usage})

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    Handler.model = Model(sys.argv[1])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
