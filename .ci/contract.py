"""Puts the conversation that the official client's contract tests ask for into the server's folder before each test: a
plugin of pytest. The folder is in CONTRACT_FOLDER; the server reads it anew for each request."""
import json, os, pathlib
import pytest

FOLDER = pathlib.Path(os.environ["CONTRACT_FOLDER"])
def message(id):
    item = {"type": "message", "id": id, "status": "completed"}
    return {"role": "user", "content": "string", "turnwise_origin": {"responses": {"item": item}}}


# The ids of items that the tests name.
TALK = {"messages": [message("after"), message("msg_abc")]}


@pytest.fixture(autouse=True)
def known_conversation():
    for old in FOLDER.glob("*conv_123*"):
        old.unlink()
    (FOLDER / "conv_123.json").write_text(json.dumps(TALK))
