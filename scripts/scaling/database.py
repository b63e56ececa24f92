#!/usr/bin/env python3
"""What clients see of it when the database dies while answers are written.

    scripts/scaling/database.py --cerium target/release/cerium

Starts PostgreSQL and `cerium serve` in a directory of their own, has clients ask without a pause, kills every process of
the database (SIGKILL), starts it again after a while, and looks for every response that was told to be kept. Prints the
figures as one JSON object. Needs Python 3.9 and PostgreSQL's programs.
"""

import argparse
import collections
import json
import statistics
import threading
import time

from cluster import Cluster, ask, free_port, message, said, wait_for


class Clients:
    """People who ask, one question after another, and remember what they were told."""

    def __init__(self, url, model, n):
        self.url, self.model = url, model
        self.answers, self.asked, self.over = [], 0, False
        self.lock = threading.Lock()
        # Two that have their responses kept for one that does not.
        self.threads = [threading.Thread(target=self.ask, args=(i % 3 != 2,)) for i in range(n)]
        for thread in self.threads:
            thread.start()

    def ask(self, store):
        while not self.over:
            with self.lock:
                self.asked += 1
                n = self.asked
            body = {"model": self.model, "store": store, "max_output_tokens": 48, "temperature": 0}
            body["input"] = [message("user", f"Tell me a story about the number {n}.")]
            begun = time.monotonic()
            status, answer = ask(self.url + "/v1/responses", body)
            self.answers.append((begun, time.monotonic(), store, status, answer))
            if status != 200:
                time.sleep(0.1)

    def stop(self):
        self.over = True
        for thread in self.threads:
            thread.join()


def statuses(answers):
    return {str(status): n for status, n in sorted(collections.Counter(it[3] for it in answers).items())}


def check(cluster, options):
    url = cluster.workers[0]
    model = ask(url + "/v1/models")[1]["data"][0]["id"]
    clients = Clients(url, model, options.clients)
    time.sleep(options.seconds)
    killed = time.monotonic()
    cluster.kill("postgres")
    time.sleep(options.seconds)
    # What was told just before is asked for while the database is away.
    before = [it for it in clients.answers if it[2] and it[3] == 200]
    away = collections.Counter(ask(f"{url}/v1/responses/{it[4]['id']}")[0] for it in before[-20:])
    started = time.monotonic()
    cluster.database()
    time.sleep(options.seconds)
    clients.stop()
    time.sleep(5)

    kept = [it for it in clients.answers if it[2]]
    told = [it for it in kept if it[3] == 200]
    lost, changed = [], 0
    for it in told:
        status, found = ask(f"{url}/v1/responses/{it[4]['id']}")
        if status != 200:
            lost.append((it[4]["id"], status, round(it[1] - killed, 1)))
        elif found["status"] != it[4]["status"] or said(found) != said(it[4]):
            changed += 1
    first = min((it[1] for it in kept if it[3] == 200 and it[0] > started), default=None)
    meanwhile = lambda it: killed < it[0] < started
    refused = [it for it in kept if meanwhile(it) and it[3] != 200]
    return {
        "answers": len(clients.answers),
        "told_as_kept": len(told),
        "in_progress_at_the_kill": statuses(it for it in kept if it[0] < killed < it[1]),
        "asked_to_keep_while_away": statuses(filter(meanwhile, kept)),
        "asked_not_to_keep_while_away": statuses(it for it in clients.answers if not it[2] and meanwhile(it)),
        "refused_with": sorted({it[4]["error"]["code"] for it in refused}),
        "refused_after_ms_median": round(statistics.median((it[1] - it[0]) * 1e3 for it in refused)) if refused else None,
        "retrieved_while_away": {str(status): n for status, n in away.items()},
        "seconds_away": round(started - killed, 1),
        "seconds_from_start_to_the_first_kept_answer": first and round(first - started, 1),
        "lost": lost,
        "changed": changed,
        "ready": ask(url + "/ready"),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cerium", default="cerium", help="the program")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--clients", type=int, default=6, help="who ask at the same time")
    parser.add_argument("--seconds", type=float, default=20, help="before the kill, until the start, and after it")
    parser.add_argument("--keep", action="store_true", help="keep the directory with the logs")
    options = parser.parse_args()
    cluster = Cluster(options)
    try:
        store, port = cluster.postgres(), free_port()
        cluster.workers = [f"http://127.0.0.1:{port}"]
        cluster.cerium("cerium", port, store)
        wait_for(cluster.workers[0] + "/ready", "the server")
        print(json.dumps(check(cluster, options), indent=2))
    finally:
        cluster.down()


if __name__ == "__main__":
    main()
