"""Keeps a peer engine's model loaded and does what it is told, one JSON object a line.

    python driver.py llama|ik|mistralrs

    {"op": "load", "model": PATH, "threads": N, "context": N}    -> {"engine", "cpu"}
    {"op": "run", "prompt": [ids], "n_output": N}                -> {"prefill_ms", "ttft_ms", "decode_ms", "output": [ids]}
    {"op": "lookup", "prompt": [ids], "ends": [ids], "n_output_max": N, "ngram": N, "n_draft": N}
                                                                 -> {"decode_ms", "n_steps", "n_output"}
    {"op": "chat", "messages": [...], "n_output_max": N}         -> {"text", "stopped", "n_prompt", "n_output"}

Every answer is one line; {"error": TEXT} when something went wrong. `run` decodes greedily and
ignores end tokens, `lookup` heeds them and drafts from what stood in the prompt (llama only); times are wall-clock milliseconds: until the prompt is computed, until the first
token is chosen, and from there to the last. A run of more than half an hour ends the process.
cerium's side of the same protocol is `bench-worker`.
"""
import ctypes
import importlib.metadata
import importlib.util
import json
import os
import signal
import sys
import time

import numpy as np

RUN_SECONDS_MAX = 1800


class Stepwise:
    """An engine that is told each step: what it computes, and that it shall forget."""

    def run(self, prompt, n_output):
        self.reset()
        start = time.perf_counter()
        output = [self.eval(prompt, 0)]
        first = time.perf_counter()
        while len(output) < n_output:
            output.append(self.eval(output[-1:], len(prompt) + len(output) - 1))
        last = time.perf_counter()
        # Choosing a token is an arg-max over the logits: the prompt is computed when the first is known.
        return {"prefill_ms": 1e3 * (first - start), "ttft_ms": 1e3 * (first - start),
                "decode_ms": 1e3 * (last - first), "output": output}


class Llama(Stepwise):
    """llama.cpp through llama-cpp-python, flash attention on, f16 keys and values."""

    def load(self, model, threads, context):
        import llama_cpp
        self.cpp, self.prompt = llama_cpp, None
        self.llama = llama_cpp.Llama(model, n_ctx=context, n_threads=threads, n_threads_batch=threads,
                                     flash_attn=True, verbose=False)
        return f"llama-cpp-python {llama_cpp.__version__}", llama_cpp.llama_print_system_info().decode()

    def reset(self):
        self.prompt = None
        self.llama.reset()

    def eval(self, tokens, _position):
        self.llama.eval(tokens)
        return self.likeliest(-1)

    def lookup(self, prompt, ends, n_output_max, ngram, n_draft):
        # What `draft_model=LlamaPromptLookupDecoding(...)` does, without its copies of all logits, and with the prompt
        # kept from one setting to the next. Without drafts it is plain decoding.
        from llama_cpp.llama_speculative import LlamaPromptLookupDecoding
        find = LlamaPromptLookupDecoding.find_candidate_pred_tokens
        begin = len(prompt)
        ids = np.empty(begin + n_output_max + 1, dtype=np.intc)
        ids[:begin] = prompt
        if self.prompt != prompt:
            self.reset()
            self.llama.eval(prompt)
            self.prompt = prompt
        n, n_steps, ends = begin, 0, set(ends)
        self.decode(prompt[-1:], begin - 1)
        ids[n] = self.likeliest(0)
        n += 1
        first = time.perf_counter()
        while n - begin < n_output_max and int(ids[n - 1]) not in ends:
            draft = find(ids[:n], ngram, n_draft) if n_draft else []
            rows = [int(id) for id in (ids[n - 1], *draft[:n_output_max - (n - begin) - 1])]
            self.decode(rows, n - 1)
            n_steps += 1
            for i in range(len(rows)):
                ids[n] = token = self.likeliest(i)
                n += 1
                if token in ends or rows[i + 1:i + 2] != [token]:
                    break
        return {"decode_ms": 1e3 * (time.perf_counter() - first), "n_steps": n_steps, "n_output": n - begin}

    def decode(self, tokens, position):
        self.llama._ctx.kv_cache_seq_rm(-1, position, -1)
        self.llama._batch.set_batch(batch=tokens, n_past=position, logits_all=True)
        self.llama._ctx.decode(self.llama._batch)

    def likeliest(self, row):
        logits = self.cpp.llama_get_logits_ith(self.llama.ctx, row)
        return int(np.ctypeslib.as_array(logits, (self.llama.n_vocab(),)).argmax())

    def chat(self, messages, n_output_max):
        self.prompt = None
        answer = self.llama.create_chat_completion(messages, temperature=0.0, repeat_penalty=1.0,
                                                   max_tokens=n_output_max)
        choice, usage = answer["choices"][0], answer["usage"]
        return {"text": choice["message"]["content"] or "", "stopped": choice["finish_reason"] == "stop",
                "n_prompt": usage["prompt_tokens"], "n_output": usage["completion_tokens"]}


class Ik(Stepwise):
    """ik_llama.cpp through ik-llama-cpp-python, flash attention on, weights repacked at load if asked."""

    def load(self, model, threads, context):
        # Built from source, its library does not say where the one it needs lies.
        folder = importlib.util.find_spec("ik_llama_cpp").submodule_search_locations[0]
        ctypes.CDLL(os.path.join(folder, "lib", "libggml.so"), ctypes.RTLD_GLOBAL)
        import ik_llama_cpp
        from ik_llama_cpp import _ctypes_api as api, _internals as internals
        self.api, self.internals = api, internals
        repack = os.environ.get("CERIUM_PEER_REPACK") == "1"
        if repack:
            defaults = api.llama_model_default_params

            def repacking():
                params = defaults()
                params.repack_tensors = True
                return params
            api.llama_model_default_params = repacking
        self.model = internals.IkModel(model, use_mmap=not repack)
        self.context = internals.IkContext(self.model, n_ctx=context, n_threads=threads, flash_attn=True)
        name = f"ik-llama-cpp-python {ik_llama_cpp.__version__}" + (" repacked" if repack else "")
        return name, "see the build's flags"

    def reset(self):
        self.context.kv_cache_clear()

    def eval(self, tokens, position):
        batch = self.internals.make_batch_range(tokens, pos_start=position)
        status = self.context.decode(batch)
        self.api.llama_batch_free(batch)
        if status != 0:
            raise RuntimeError(f"llama_decode returned {status}")
        return int(np.ctypeslib.as_array(self.context.get_logits(-1), (self.model.n_vocab,)).argmax())


class MistralRs:
    """mistral.rs as published, f16 keys and values, nothing kept from prompt to prompt.

    It takes and gives text, all at once, and says how long the prompt took. So a prompt is given as the text of
    its ids, and the ids of the answer are those that its text has.
    """

    def load(self, model, threads, context):
        # Read when the library starts. The file brings tokenizer and template: nothing is to be fetched.
        os.environ.update(RAYON_NUM_THREADS=str(threads), HF_HUB_OFFLINE="1", RUST_LOG="error")
        import mistralrs
        self.request = mistralrs.CompletionRequest
        folder, name = os.path.split(model)
        self.runner = mistralrs.Runner(mistralrs.Which.GGUF(folder, name), max_seqs=1, prefix_cache_n=0,
                                       token_source="none")
        return f"mistralrs {importlib.metadata.version('mistralrs')}", "its wheel, for any x86-64"

    def run(self, prompt, n_output):
        text = self.runner.detokenize_text(prompt, False)
        start = time.perf_counter()
        answer = self.runner.send_completion_request(self.request(
            text, "default", max_tokens=n_output, temperature=0.0, ignore_eos=True))
        last = time.perf_counter()
        n_tokens, wanted = (answer.usage.prompt_tokens, answer.usage.completion_tokens), (len(prompt), n_output)
        if n_tokens != wanted:
            raise RuntimeError(f"{n_tokens} tokens of prompt and answer, not {wanted}")
        prefill_ms = 1e3 * answer.usage.total_prompt_time_sec
        return {"prefill_ms": prefill_ms, "ttft_ms": prefill_ms, "decode_ms": 1e3 * (last - start) - prefill_ms,
                "output": self.runner.tokenize_text(answer.choices[0].text, False, None)}


def answer(engine, request):
    op = request.pop("op")
    if op == "load":
        name, cpu = engine.load(**request)
        return {"engine": name, "cpu": cpu}
    if op == "run":
        signal.alarm(RUN_SECONDS_MAX)  # Nobody catches it: the process ends, whatever it is doing.
        reply = engine.run(**request)
        signal.alarm(0)
        return reply
    if op == "lookup":
        return engine.lookup(**request)
    if op == "chat":
        return engine.chat(**request)
    raise ValueError(f"unknown op {op!r}")


def main():
    # Engines print where they like: our answers keep the real stdout, everything else goes to stderr.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    engine = {"llama": Llama, "ik": Ik, "mistralrs": MistralRs}[sys.argv[1]]()
    for line in sys.stdin:
        try:
            reply = answer(engine, json.loads(line))
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=answers, flush=True)


if __name__ == "__main__":
    main()
