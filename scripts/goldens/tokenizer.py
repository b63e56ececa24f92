#!/usr/bin/env python3
"""Reference token ids, from tokenizers that others wrote, over real source code and odd Unicode.

    python3 scripts/goldens/tokenizer.py NAME MODEL.gguf [SAME_VOCABULARY.gguf ...]
    python3 scripts/goldens/tokenizer.py tiny-sentencepiece
        (pip install tokenizers sentencepiece gguf numpy jinja2)

The first form builds the reference from the file's own vocabulary: Hugging Face `tokenizers` for
byte-level BPE, with its regex engine for the pre-tokenizers; Google's `sentencepiece` for "llama"
vocabularies; Jinja2 set up as `transformers` does for chat templates. It writes
crates/cerium-model/tests/data/tokenizer/NAME.json. Further files must hold the same vocabulary
(checked), so that the golden is theirs as well. The second form trains a small SentencePiece model
on the corpus, to have that kind of vocabulary in a test without a download; it writes the
vocabulary as tiny-sentencepiece.gguf and its golden beside it.

The golden, one JSON object:

    models       names of the files it holds for
    vocabulary   sha256 over types (one byte each), then length (u32, little endian) and bytes of
                 each token, then of each merge; then, with scores, over these as f32
    reference    what computed the ids
    schemes      per pre-tokenizer ("sentencepiece" where there is none):
        corpus   for each text of corpus.jsonl: number of ids and FNV-1a 64 of them as u32s
        texts    for each text of texts.json: its ids, control tokens written as text
        special  likewise, control tokens recognised
    chats        for each conversation: messages, whether a prompt was added, ids

texts.json is written here too, so that each golden names the same texts.
"""

import hashlib
import json
import pathlib
import struct
import sys

import gguf

DATA = pathlib.Path(__file__).parents[2] / "crates/cerium-model/tests/data"
OUT = DATA / "tokenizer"

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

TEXTS = [
    "",
    " ",
    "  ",
    "\n",
    "a",
    "Hello, world!",
    "The quick brown fox can't won't I'll you're we've he'd I'm it's",
    "CAN'T WON'T I'LL YOU'RE WE'VE HE'D I'M IT'S 'Sa 'lLa 'Vex",
    "it'\u017f a'\u017fb '\u017f\u017f \u212a'\u017f",
    "''' '' 's't 're've'm'll'd 'x ' s",
    "\u2019s \u02bcs can\u2019t",
    "def f(x):\n    return x + 1\n\n\n\tif x:\n\t\tpass  \n",
    "a  b   c    d     e\t\tf \t g\t h \n i\n  j\r\n k \r\n\r\n l\r",
    "x\n\n\n  \n y \n\n z   \n",
    "   leading and trailing   ",
    "\t\t\tif (a) {\r\n\t\t\t\treturn;\r\n\t\t\t}\r\n",
    "trailing newline mix \n \n  \n   \nend",
    "...!!!???,,,;;;:::---___===+++***///\\\\\\|||&&&^^^%%%$$$###@@@~~~```",
    "!\n\n?\r\n; \n //\n\n\n",
    "a.b->c::d<<e>>=f!==g&&h||i??j?.k",
    "0 1 12 123 1234 12345 123456 1234567890 3.14159 1e-9 0xDEADBEEF 1_000_000",
    "a1b22c333d4444 v2.10.3-rc1 99 %d %05.2f",
    "\u0661\u0662\u0663\u0664\u0665 \u096f\u096e \u2167\u2168 \u00bd\u00b2\u2460\u3007 12\u06634 123\u0664567",
    "\u00c5ngstr\u00f6m na\u00efve fa\u00e7ade \u00fcber stra\u00dfe \u0130stanbul \u0131\u015f\u0131k",
    "e\u0301 a\u0308 n\u0303 o\u0302\u0323 \u0301x \u0301\u0301 1\u0301 .\u0301 \u0301",
    "\ufb01 \ufb06 \u01c4 \u1e9e \u017f \u03a3\u03c2\u03c3",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u042d\u0442\u043e \u0442\u0435\u0441\u0442.",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01\u8fd9\u662f\u4e00\u4e2a\u6d4b\u8bd5\u3002\u3000\u5168\u89d2\u7a7a\u683c",
    "\u3053\u3093\u306b\u3061\u306f\u4e16\u754c\u30c6\u30b9\u30c8\uff71\uff72\uff73 \uc548\ub155\ud558\uc138\uc694 \uc138\uacc4",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645 \u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 \u10d2\u10d0\u10db\u10d0\u10e0\u10ef\u10dd\u10d1\u10d0 \u12a0\u121b\u122d\u129b",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f1e9\U0001f1ea \U0001f44d\U0001f3fd \u2764\ufe0f \u2603",
    "\U0001d400\U0001d49c \U00010330 \U0001f9ff \U000e0041 \U0010fffd \ue000 \U0001e900",
    "\u00a0nbsp\u2003em\u2009thin\u200bzero\u200dj\u2028line\u2029para\u0085nel\u3000ideo\u1680ogham",
    " \u00a0 \u2003\u2003x \u3000\u3000 \u0085\n\u2028\n",
    "\u200e\u200fbidi\u202e\u202dtext\u2066\u2069 \ufeffbom \ufffd\ufffe\uffff",
    "a\u0000b \u0001\u0002\u0003 \u0007\u0008\u000b\u000c \u001b[31mred\u001b[0m \u007f\u0080\u009f",
    "\u2581 \u2581\u2581a \u2581b\u2581c  \u2581",
    "\u0120\u010a\u0100 are GPT-2's spaces and newlines",
    "<|im_start|>user\nhi<|im_end|>\n<|endoftext|>",
    "<|im_start|><|im_end|><|im_start|> x <|im_end|>y",
    "<|im_start <|im_end|| |im_end|> <||im_end|> <|im_end|>> <<|im_end|>",
    "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|> <fim_prefix> <|file_sep|> <repo_name>x",
    "<tool_call>\n{\"name\": \"f\"}\n</tool_call> <tool_call></tool_call>",
    "<bos><eos><unk><pad> <start_of_turn>user\nx<end_of_turn> <0x0A> <0xFF> </s> <s> [multimodal]",
    "<table><tr><td>x</td></tr></table> <h1>y</h1><code>z</code>",
    "\n" * 40 + "x" + "\n" * 31,
    " " * 100 + "x" + "\t" * 40 + "y" + " \n" * 20,
    "a" * 300,
    "ab" * 200 + "A" * 77 + "1" * 77 + "-" * 200 + "=" * 81,
    "\u00e9" * 90 + "\u4e2d" * 70 + "\U0001f600" * 40,
    "'" * 60 + "s" * 40 + " '" * 30,
    "lorem" * 50 + "_" + "LOREM" * 30,
    "SGVsbG8gd29ybGQhIFRoaXMgaXMgYSBiYXNlNjQgc3RyaW5nIHRoYXQgaXMgbG9uZyBlbm91Z2g=" * 3,
    "https://example.com/a/b?c=d&e=f#g user@example.org /usr/lib/x86_64-linux-gnu/libc.so.6",
    "HTMLParser XMLHttpRequest getHTTPResponseCode camelCase ABCd ABC\u4e2dDEF \u4e2dAB\u4e2d \u01c5ABC\u01c5x",
    "ISN'T isn't'LL X's Y'\u017f don'tx //path/to\n/x +\n/\n//y \u0301A\u0301B \u0301 \u0301a A\u0301'd",
    "\u0430\u0430a\u0430a \u03b1a\u03b2b \u4e2da\u6587b 1\u4e2d2 a\u0301\u4e2d \u0915\u094d\u20e3",
    "\u1ee4\u0323\u0307 \u0f0b\u0f40 \u1780\u17d2 \ud7b0 \u0600\u0601 \u20ac\u00a3\u00a5 \u00ab\u00bb\u2014\u2026",
    "x\u00ad y\u2060z \ufe0f\ufe0e \U000e0100 \u180e \u061c",
]

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?LETTERS+|\p{N}DIGITS"
    r"| ?[^\sMARKS\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
O200K = (
    r"[^\r\n\p{L}\p{N}]?UPPER*LOWER+SHORT?|[^\r\n\p{L}\p{N}]?UPPER+LOWER*SHORT?|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
for name, part in [
    ("UPPER", r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"),
    ("LOWER", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"),
    ("SHORT", "(?i:'s|'t|'re|'ve|'m|'ll|'d)"),
]:
    O200K = O200K.replace(name, part)


def cl100k(digits, marks=False):
    letters, no_marks = (r"[\p{L}\p{M}]", r"\p{M}") if marks else (r"\p{L}", "")
    regex = CL100K.replace("LETTERS", letters).replace("DIGITS", digits)
    return [("split", regex.replace("MARKS", no_marks))]


# Steps of each pre-tokenizer, from the models' tokenizer.json; `default` from llama.cpp, whose name
# it is.
PRE = {
    "gpt-2": [("byte-level",)],
    "smollm": [("digits",), ("byte-level",)],
    "default": [
        ("split", r"[\p{P}\$\+<=>\^~\|]+"),
        ("split", GPT2),
        ("split", r"\p{N}+"),
        ("split", r"[0-9][0-9][0-9]"),
    ],
    "qwen2": cl100k(""),
    "qwen35": cl100k("", marks=True),
    "llama-bpe": cl100k("{1,3}"),
    "gpt-4o": [("split", O200K)],
}


class Vocabulary:
    """What a GGUF file says about its tokenizer."""

    def __init__(self, path):
        self.reader = gguf.GGUFReader(path)
        self.model = self.text("tokenizer.ggml.model")
        self.pre = self.text("tokenizer.ggml.pre")
        self.tokens = self.strings("tokenizer.ggml.tokens")
        self.types = self.numbers("tokenizer.ggml.token_type")
        self.merges = self.strings("tokenizer.ggml.merges")
        self.scores = self.numbers("tokenizer.ggml.scores")
        self.template = self.text("tokenizer.chat_template")
        self.bos = self.number("tokenizer.ggml.bos_token_id")
        self.eos = self.number("tokenizer.ggml.eos_token_id")
        unknown = self.number("tokenizer.ggml.unknown_token_id")
        self.unknown = self.types.index(UNKNOWN) if unknown is None and self.scores else unknown
        add_space = self.number("tokenizer.ggml.add_space_prefix")
        self.add_space = True if add_space is None else bool(add_space)

    def text(self, key):
        field = self.reader.fields.get(key)
        return field and bytes(field.parts[field.data[0]]).decode()

    def number(self, key):
        field = self.reader.fields.get(key)
        return field and field.parts[field.data[0]][0].item()

    def strings(self, key):
        field = self.reader.fields.get(key)
        return [bytes(field.parts[i]).decode() for i in field.data] if field else []

    def numbers(self, key):
        field = self.reader.fields.get(key)
        return [field.parts[i][0].item() for i in field.data] if field else []

    def sha256(self):
        digest = hashlib.sha256(bytes(self.types))
        for string in self.tokens + self.merges:
            raw = string.encode()
            digest.update(struct.pack("<I", len(raw)) + raw)
        digest.update(struct.pack(f"<{len(self.scores)}f", *self.scores))
        return digest.hexdigest()


class ByteLevel:
    """Hugging Face's BPE over a file's vocabulary."""

    def __init__(self, vocabulary, pre):
        import tokenizers as hf

        self.name = f"tokenizers {hf.__version__}"
        ids = {token: i for i, token in enumerate(vocabulary.tokens)}
        merges = [tuple(merge.split(" ")) for merge in vocabulary.merges]
        whole_words = pre == "llama-bpe"
        self.hf = hf.Tokenizer(hf.models.BPE(ids, merges, ignore_merges=whole_words))
        steps = []
        for step in PRE[pre]:
            if step[0] == "digits":
                steps.append(hf.pre_tokenizers.Digits(individual_digits=True))
            elif step[0] == "split":
                steps.append(hf.pre_tokenizers.Split(hf.Regex(step[1]), "isolated"))
        own_regex = PRE[pre][-1] == ("byte-level",)
        steps.append(hf.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=own_regex))
        self.hf.pre_tokenizer = hf.pre_tokenizers.Sequence(steps)
        for token, kind in zip(vocabulary.tokens, vocabulary.types):
            if kind in (CONTROL, USER_DEFINED):
                added = hf.AddedToken(token, special=kind == CONTROL, normalized=False)
                (self.hf.add_special_tokens if kind == CONTROL else self.hf.add_tokens)([added])
                assert self.hf.token_to_id(token) == ids[token]

    def plain(self, text):
        self.hf.encode_special_tokens = True
        return self.hf.encode(text, add_special_tokens=False).ids

    def special(self, text):
        self.hf.encode_special_tokens = False
        return self.hf.encode(text, add_special_tokens=False).ids


class SentencePiece:
    """Google's implementation over a file's pieces and scores."""

    def __init__(self, vocabulary):
        import sentencepiece

        self.name = f"sentencepiece {sentencepiece.__version__}"
        self.sp = sentencepiece.SentencePieceProcessor(model_proto=model_proto(vocabulary))
        self.controls = {
            token: i
            for i, (token, kind) in enumerate(zip(vocabulary.tokens, vocabulary.types))
            if kind in (CONTROL, UNKNOWN)
        }

    def plain(self, text):
        return self.sp.encode(text)

    def special(self, text):
        """Cuts at control tokens, the longest of the leftmost; SentencePiece does the rest."""
        ids, start, at = [], 0, 0
        while at < len(text):
            found = max(
                (c for c in self.controls if text.startswith(c, at)), key=len, default=None
            )
            if found is None:
                at += 1
                continue
            ids += self.sp.encode(text[start:at]) + [self.controls[found]]
            start = at = at + len(found)
        return ids + self.sp.encode(text[start:])


def model_proto(vocabulary):
    """A sentencepiece_model.proto ModelProto, written by hand."""

    def varint(n):
        out = b""
        while n > 127:
            out += bytes([n & 127 | 128])
            n >>= 7
        return out + bytes([n])

    def message(field, payload):
        return varint(field << 3 | 2) + varint(len(payload)) + payload

    def number(field, n):
        return varint(field << 3) + varint(n)

    proto = b""
    pieces = zip(vocabulary.tokens, vocabulary.scores, vocabulary.types)
    for i, (token, score, kind) in enumerate(pieces):
        if kind == USER_DEFINED:
            token = token.replace(" ", "\u2581")
        if i == vocabulary.unknown:
            kind = UNKNOWN  # converters mark it as a control token
        piece = message(1, token.encode()) + varint(2 << 3 | 5) + struct.pack("<f", score)
        proto += message(1, piece + number(3, kind))
    trainer = number(3, 2) + number(35, 1)  # BPE, byte_fallback
    for field, i in ((40, vocabulary.unknown), (41, -1), (42, -1), (43, -1)):  # unk, bos, eos, pad
        trainer += number(field, i & (1 << 64) - 1)
    trainer += message(45, vocabulary.tokens[vocabulary.unknown].encode())
    normalizer = message(1, b"identity") + number(3, int(vocabulary.add_space))
    normalizer += number(4, 0) + number(5, 1)  # keep spaces, mark them
    return proto + message(2, trainer) + message(3, normalizer)


CHATS = [
    [("user", "Hi")],
    [("system", "Be brief."), ("user", "What is 2+2?")],
    [("user", "a"), ("assistant", "b"), ("user", "c")],
    [
        ("system", "You edit code."),
        ("user", "  def f():\n    pass\n\n"),
        ("assistant", "```python\ndef f():\n    return 1\n```"),
        ("user", "\u4f60\u597d \U0001f600 \n"),
    ],
    [("system", ""), ("user", ""), ("assistant", "")],
]


def chats(vocabulary, reference):
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    if vocabulary.template is None:
        return []
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.filters["tojson"] = lambda x, **o: json.dumps(x, ensure_ascii=False, **o)
    template = environment.from_string(vocabulary.template)
    out = []
    for chat in CHATS:
        messages = [{"role": role, "content": content} for role, content in chat]
        for prompt in (True, False):
            text = template.render(
                messages=messages, add_generation_prompt=prompt, tools=None, documents=None,
                bos_token=vocabulary.tokens[vocabulary.bos],
                eos_token=vocabulary.tokens[vocabulary.eos],
            )
            ids = reference.special(text)
            out.append({"messages": messages, "prompt": prompt, "ids": ids})
    return out


def digest(ids):
    """FNV-1a 64 over the ids as little-endian u32s."""
    h = 0xCBF29CE484222325
    for byte in struct.pack(f"<{len(ids)}I", *ids):
        h = (h ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return f"{h:016x}"


def scheme(reference, corpus):
    rows = [reference.plain(line["text"]) for line in corpus]
    return {
        "corpus": [[len(ids), digest(ids)] for ids in rows],
        "texts": [reference.plain(text) for text in TEXTS],
        "special": [reference.special(text) for text in TEXTS],
    }


def write(path, value):
    """JSON with one line for each entry of the outer levels."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    for gap in ('],[', ',"', '},{'):
        text = text.replace(gap, gap[0] + gap[1:-1] + "\n" + gap[-1] if gap != "],[" else "],\n[")
    path.write_text(text + "\n", encoding="ascii")


def golden(name, paths):
    corpus = [json.loads(line) for line in open(DATA / "corpus.jsonl", encoding="utf-8")]
    vocabulary = Vocabulary(paths[0])
    for other in paths[1:]:
        same = Vocabulary(other)
        assert (same.sha256(), same.pre) == (vocabulary.sha256(), vocabulary.pre), other
    if vocabulary.model == "llama":
        references = {"sentencepiece": SentencePiece(vocabulary)}
    else:
        # One vocabulary shows all pre-tokenizers; the others their own.
        names = list(PRE) if name == "smollm2-135m" else [vocabulary.pre]
        references = {pre: ByteLevel(vocabulary, pre) for pre in names}
    own = references.get(vocabulary.pre) or references["sentencepiece"]
    OUT.mkdir(exist_ok=True)
    write(OUT / "texts.json", TEXTS)
    write(OUT / f"{name}.json", {
        "models": [pathlib.Path(path).stem for path in paths],
        "vocabulary": vocabulary.sha256(),
        "reference": own.name,
        "schemes": {pre: scheme(reference, corpus) for pre, reference in references.items()},
        "chats": chats(vocabulary, own),
    })
    print(name, vocabulary.sha256(), own.name, list(references))


def train():
    """A SentencePiece vocabulary of 2,000 pieces over the corpus, as GGUF."""
    import sentencepiece

    corpus = [json.loads(line)["text"] for line in open(DATA / "corpus.jsonl", encoding="utf-8")]
    lines = [line for text in corpus for line in text.splitlines() if line.strip()]
    prefix = OUT / "tiny-sentencepiece"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(prefix), model_type="bpe",
        vocab_size=2000, byte_fallback=True, normalization_rule_name="identity",
        remove_extra_whitespaces=False, character_coverage=0.999, pad_id=3,
        user_defined_symbols=["\n", "\n\n", "\t", "  ", "    ", "<tool_call>"],
        control_symbols=["<start_of_turn>", "<end_of_turn>"], minloglevel=2,
    )
    sp = sentencepiece.SentencePieceProcessor(model_file=f"{prefix}.model")
    for ending in (".model", ".vocab"):
        prefix.with_suffix(ending).unlink()
    tokens, scores, types = [], [], []
    for i in range(len(sp)):
        kind = (
            UNKNOWN if sp.is_unknown(i) else CONTROL if sp.is_control(i)
            else BYTE if sp.is_byte(i) else NORMAL
        )
        token = sp.id_to_piece(i)
        if token in ("\n", "\n\n", "\t", "\u2581\u2581", "\u2581" * 4, "  ", "    ", "<tool_call>"):
            kind = USER_DEFINED
        tokens.append(token)
        scores.append(sp.get_score(i))
        types.append(kind)
    path = prefix.with_suffix(".gguf")
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_bos_token_id(sp.bos_id())
    writer.add_eos_token_id(sp.eos_id())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    golden("tiny-sentencepiece", [path])


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    if sys.argv[1:] == ["tiny-sentencepiece"]:
        train()
    elif len(sys.argv) > 2:
        golden(sys.argv[1], sys.argv[2:])
    else:
        sys.exit(__doc__)
