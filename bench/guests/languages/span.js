// As span.c, in JavaScript. The time is wall time. The best block was not interrupted, so its wall time is its processor
// time.
"use strict";

const { span } = require("hypertrace-guest");

function measure(spans) {
    const begin = process.hrtime.bigint();
    for (let i = 0; i < spans; i += 1) {
        span("work", { size: i }).end();
    }
    return Number(process.hrtime.bigint() - begin) / spans;
}

const [blocks, spans] = process.argv.slice(2).map(Number);
let best = Infinity;
for (let block = 0; block < blocks; block += 1) {
    best = Math.min(best, measure(spans));
}
console.log(best);
