"""Checks answers of the Conversations API that come as lines on standard input: each against the API's published schema,
and whether the classes of the official Python client read it, strictly, and lose nothing.

    cargo run -p turnwise-conversations --example answers | python conversations.py SCHEMA
"""
import importlib, json, sys
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter

document = json.load(open(sys.argv[1]))
types = importlib.import_module("openai.types.conversations")
checked, failed = 0, 0
for line in sys.stdin:
    line = json.loads(line)
    schema, name, answer = line["schema"], line["class"], line["answer"]
    validator = Draft202012Validator({"$ref": f"#/components/schemas/{schema}", **document})
    for error in validator.iter_errors(answer):
        failed += 1
        print(f"{schema} {list(error.path)}: {error.message[:300]}\n  {json.dumps(answer)[:300]}", file=sys.stderr)
        for cause in sorted(error.context or [], key=lambda cause: len(cause.path), reverse=True)[:4]:
            print(f"    {list(cause.path)}: {cause.message[:200]}", file=sys.stderr)
    if name:
        kind = getattr(types, name)
        read = TypeAdapter(kind).validate_python(answer, strict=False)
        again = TypeAdapter(kind).dump_python(read, mode="json", exclude_unset=True)
        if again != answer:
            failed += 1
            print(f"{name} is read as something else:\n  {json.dumps(answer)}\n  {json.dumps(again)}", file=sys.stderr)
    checked += 1
print(f"{checked} answers checked, {failed} failures")
sys.exit(1 if failed or checked < 30 else 0)
