// program: the events that the test expects. program THREADS COUNT: emits COUNT spans and counters in each of THREADS
// workers.
"use strict";

const { Worker, isMainThread, workerData } = require("node:worker_threads");
const hypertrace = require("hypertrace-guest");
const events = require("./events.js");

function emit(number, count) {
    for (let i = 0; i < count / 2; i += 1) {
        const job = events.job(number * 2 ** 32 + i, 0.5, true);
        job.result = i;
        job.end();
    }
}

if (!isMainThread) {
    emit(workerData.number, workerData.count);
} else if (process.argv.length > 3) {
    for (let number = 0; number < Number(process.argv[2]); number += 1) {
        new Worker(__filename, { workerData: { number, count: Number(process.argv[3]) } });
    }
} else {
    events.request(4096, 0x10, events.request_kind.WRITE);
    const job = events.job(7n, 0.25, true);
    events.queue_depth(-3);
    job.result = -1;
    job.end();
    job.end();
    events.done();
    process.exitCode = hypertrace.isOpen ? 0 : 3;
}
