"""Drives `turnwise chat` at a pseudo-terminal as a person would: every command, texts of several lines, completion, history
and Ctrl-C. Without URL it answers itself; with it, a real model does, and what that says is not checked.

    python chat.py PROGRAM [URL MODEL]
"""
import fcntl, http.server, json, os, pty, re, select, signal, struct, subprocess, sys, tempfile, termios, threading, time

program = os.path.abspath(sys.argv[1])
is_real = len(sys.argv) > 2
REPLY = "## A heading\n\nThis is **bold** and `code`, and a line that is much longer than eighty characters, so that it must be " \
        "broken between words.\n\n- one\n- two\n"
bodies = []


class Endpoint(http.server.BaseHTTPRequestHandler):
    """Streams REPLY, word by word; without an end where it is asked for something slow."""
    def log_message(self, *_): pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        bodies.append(body)
        self.send_response(200)
        if not body.get("stream"):
            message = {"role": "assistant", "content": "A short summary."}
            answer = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
            return
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        is_slow = "slow" in body["messages"][-1]["content"]
        words = ["slow "] * 6000 if is_slow else re.findall(r"\S+\s*", REPLY)
        try:
            for word in words:
                self.event({"choices": [{"index": 0, "delta": {"content": word}}]})
                time.sleep(0.1 if is_slow else 0.002)
            usage = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
            self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage})
        except OSError:
            pass

    def event(self, data):
        self.wfile.write(f"data: {json.dumps(data)}\n\n".encode())
        self.wfile.flush()


class Terminal:
    """The program at a terminal of 80 columns."""
    def __init__(self, arguments, **variables):
        self.child, self.fd = pty.fork()
        if self.child == 0:
            os.chdir(folder)
            os.environ.update({**environment, **variables})
            os.execv(program, [program, "chat", *arguments])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.seen, self.mark = "", 0

    def read(self, seconds):
        if select.select([self.fd], [], [], seconds)[0]:
            try:
                self.seen += os.read(self.fd, 65536).decode("utf-8", "replace")
            except OSError:
                return False
        return True

    def until(self, holds, what):
        end = time.time() + (600 if is_real else 30)
        while not holds():
            assert time.time() < end, f"{what} did not come:\n{self.text()}"
            assert self.read(0.2) or holds(), f"the program ended before {what} came:\n{self.text()}"

    def text(self):
        """What was printed since the last line was typed, without control sequences and signs of waiting."""
        return re.sub(r"…\r \r|\x1b\[[0-9;?]*[A-Za-z]|\r", "", self.seen[self.mark:])

    def expect(self, text):
        # Lines may be broken where there was a space.
        self.until(lambda: " ".join(text.split()) in " ".join(self.text().split()), text)

    def prompt(self):
        """Waits until the editor reads: it asks for the marks around pasted text, and then shows what it waits for."""
        self.until(lambda: re.search(r"\x1b\[\?2004h[^\n]*(> |\[y/N\] )", self.seen[self.mark:]), "a prompt")

    def type(self, keys):
        self.mark = len(self.seen)
        os.write(self.fd, keys.encode("utf-8", "surrogateescape"))

    def say(self, line, *expected):
        self.type(line + "\r")
        for text in expected:
            self.expect(text)
        self.prompt()
        commands.update(re.findall(r"^/(\w+)", line))

    def end(self):
        end = time.time() + 30
        while time.time() < end and self.read(0.2):
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])


folder = tempfile.mkdtemp()
commands = set()
if is_real:
    url, model = sys.argv[2:4]
else:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url, model = f"http://127.0.0.1:{server.server_port}/v1", "gpt-4o-mini"
environment = {"OPENAI_API_KEY": "none", "XDG_DATA_HOME": folder, "TERM": "xterm-256color", "HOME": folder}
for name in ("NO_COLOR", "OPENAI_MODEL", "TURNWISE_HISTORY", "TURNWISE_MODELS"):
    os.environ.pop(name, None)
options = ["--base-url", url, "-m", model, "--budget", "1500", "--max-reply", "60"]

# 1. A talk with everything in it.
chat = Terminal(["talk.json", *options])
chat.prompt()
assert "/help lists commands" in chat.text()
chat.say("Name a river.", "tokens ·", "everything was sent")
if not is_real:
    assert "A heading" in chat.text() and "##" not in chat.text() and "**" not in chat.text(), chat.text()
    assert all(len(line) <= 80 for line in chat.text().split("\n")), chat.text()
    assert "so\nthat it must be broken" in chat.text() and "• one\n• two" in chat.text(), chat.text()
chat.type("\x1b[200~pasted one\r\npasted two\x1b[201~")
chat.expect("pasted two")
chat.say("", "tokens ·")
chat.say("/history", "pasted one pasted two")
chat.type('"""quoted one\r')
chat.expect("quoted one")
chat.type("quoted two\r")
chat.say('"""', "tokens ·")
chat.say("/history 2", "quoted one quoted two")
chat.type("/bud\t")
chat.expect("/budget")
chat.say("1400", "tokens are sent")
chat.say("\x1b[A\x1b[A", "quoted one quoted two")
commands.add("budget")
chat.say("/budget 100", "tokens are sent")
chat.say("And another one?", "messages left out: older than what fits")
for line, *expected in [
    ("/help", "/quit"), ("/budget 1500", "are sent"), ("/budget", "are sent"), ("/budget x", "`x` is not valid"),
    ("/strategy", "the strategy is window"), ("/strategy nonsense", "turnwise: "), ("/strategy recall", "the strategy is recall"),
    ("/model", f"the model is {model}"), (f"/model {model}", f"the model is {model}"),
    ("/plan and now?", "to be answered"), ("/tokens", "the conversation: "), ("/report", "1 request"), ("/cost", "in all: "),
    ("/why 0", "message 0 (user)"), ("/why", "/why needs N"), ("/compare window recall", "saved"),
    ("/btw What is a lake?", "the conversation does not remember it"), ("/export talk.md", "talk.md: "),
    ("/export talk.md", "--force replaces it"), ("/system Be brief.", "replaced"), ("/system", "Be brief."),
    ("/constrain Answer in English.", "/lift 1"), ("/lift 1", "withdrawn"), ("/pin #0", "always sent"), ("/unpin #0", "no longer"),
    ("/regenerate", "tokens"), ("/edit Name a lake.", "tokens"), ("/branches", "<- here"), ("/undo", "went back"),
    ("/switch #1", "now at #1"), ("/retry", "there is no failed"), ("/save copy.json", "a copy is saved"),
    ("/summaries", "there are no summaries"), ("/expand", "there is no summary"), ("/fork other.json", "continues in other.json"),
    ("/clear", "starts again"), ("/nonsense", "there is no command /nonsense"),
]:
    chat.say(line, *expected)

chat.say("caf\udce9 au lait", "what was typed is not UTF-8; nothing was sent")
chat.say("/history 1")
assert "lait" not in chat.text(), chat.text()
chat.type("exit\r")
assert chat.end() == 1, "the mistakes above are failures"
commands.add("quit")
history = open(os.path.join(folder, "turnwise", "history.txt")).read()
assert "Name a river." in history and os.stat(os.path.join(folder, "turnwise", "history.txt")).st_mode & 0o77 == 0, history

# 2. Ctrl-C: during a reply, which is too long to end by itself before, and at the prompt.
chat = Terminal(["slow.json", "--base-url", url, "-m", model, "--budget", "1500", "--max-reply", "1000"])
chat.prompt()
chat.say("/system You write long stories.", "replaced")
chat.type("Write a very slow story about a river, a lake and a sea.\r")
# Only what follows the whole line is reply: the editor shows the line again for each key.
chat.until(lambda: "sea." in chat.text() and len(chat.text().rsplit("sea.", 1)[-1].split()) > 5, "the beginning of a reply")
chat.type("\x03")
chat.expect("stopped")
chat.prompt()
chat.type("\x03")
chat.expect("Ctrl-C again ends the chat")
chat.prompt()
chat.say("/history", "Write a very slow story")
chat.type("\x04")
assert chat.end() == 0, chat.text()

# 3. A summary that is asked for, made and undone.
long = ["--base-url", url, "-m", model, "--budget", "500", "--max-reply", "30", "--strategy", "summarize:tokens=60", "--confirm-summary"]
chat = Terminal(["long.json", *long])
chat.prompt()
for word in ["river", "lake", "sea", "pond"]:
    chat.type(" ".join([word] * 100) + "\r")
    chat.prompt()
    if "summarize them?" in chat.text():
        chat.type("y\r")
        chat.prompt()
        break
else:
    raise AssertionError("no summary was asked for")
if not is_real:
    chat.say("/summaries", "A short summary.")
    chat.say("/expand", "the summary is no longer sent")
chat.type("\x04")
assert chat.end() == 0, chat.text()

# 4. Two Ctrl-C at the prompt end it; --plain needs no editor; NO_COLOR has no colors; a pipe has no sequences at all.
chat = Terminal(["talk.json", *options])
chat.prompt()
chat.type("\x03")
chat.expect("Ctrl-C again")
chat.prompt()
chat.type("\x03")
assert chat.end() == 130, chat.text()
chat = Terminal(["plain.json", *options, "--plain"])
chat.expect(">")
chat.type("\x1b[200~a\rb\x1b[201~\r")
chat.expect("tokens ·")
assert is_real or "**bold**" in chat.text(), chat.text()
chat.type("\x04")
assert chat.end() == 0, chat.text()
said = json.load(open(os.path.join(folder, "plain.json")))["messages"]
assert said[0]["content"] == "a\nb", said
chat = Terminal(["talk.json", *options], NO_COLOR="1")
chat.prompt()
chat.say("Name a river.", "tokens")
assert not re.search(r"\x1b\[[0-9;]+m", chat.seen), repr(chat.seen)
chat.type("quit\r")
assert chat.end() == 0
piped = subprocess.run([program, "chat", *options], input=b"Name a river.\n/help\n/cost\n", capture_output=True, cwd=folder,
                       env={**os.environ, **environment})
assert piped.returncode == 0 and b"\x1b" not in piped.stdout + piped.stderr, piped

# 5. A template asks for what it is not given, and the story goes on.
story = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples", "story.txt")
chat = Terminal(["story.json", *options, "--template", story, "--set", "character=a fox"])
for name, text in [("setting", "a forest"), ("problem", "it rains"), ("ending", "happily")]:
    chat.expect(f"{name}: ")
    chat.type(text + "\r")
chat.expect("tokens ·")
chat.prompt()
chat.say("The fox builds a house.", "tokens")
chat.type("quit\r")
assert chat.end() == 0
first = json.load(open(os.path.join(folder, "story.json")))["messages"][0]["content"]
assert "The main character is a fox." in first and "It ends like this: happily." in first, first

listed = set(re.findall(r"^  /(\w+)", piped.stdout.decode(), re.M))
assert listed and listed <= commands, f"not driven: {listed - commands}"
print(f"{len(listed)} commands driven")
