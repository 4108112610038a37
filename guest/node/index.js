// Emit events through a hypertrace channel, for htrun to record.
//
//     const { span } = require("hypertrace-guest");
//
//     const work = span("parse", { size });
//     try { ... } finally { work.end(); }
//
// Without htrun, every function does nothing. The channel is opened when the package is loaded. Events name themselves:
// the first call of an event gives the types of its arguments.
//
// SPDX-License-Identifier: MIT
"use strict";

const { createHash, randomInt } = require("node:crypto");
const core = require("./core.js");

const WORDS = { u: "u64", i: "i64", f: "f64", b: "bool" };
const CODES = { number: "f", bigint: "i", boolean: "b" };
const WRITERS = { i: core.integer, f: core.float, b: core.truth };
const NO_FIELDS = Object.freeze({});

const tables = { instant: new Map(), counter: new Map(), span: new Map() };

/** The two halves of the number of the next span. In all threads and processes, the upper half is another. */
const number = { low: 0, high: randomInt(2 ** 32) };

/** A kind of event, or of span: a name, and the names and types of its arguments. */
class Kind {
    constructor(phase, name, values) {
        this.fields = Object.keys(values);
        const codes = this.fields.map((field) => codeOf(field, values[field]));
        this.writers = codes.map((code) => WRITERS[code]);
        this.isSpan = phase === "span";
        // The id is the first argument of each event, and the number of a span the second.
        const room = core.numArgs - 1;
        const all = (this.isSpan ? ["u", ...codes] : codes).slice(0, room);
        const names = [...(this.isSpan ? ["span"] : []), ...this.fields.map(identifier)].slice(0, room);
        const args = names.map((each, place) => `"${each}:${WORDS[all[place]]}"`);
        this.id = idOf(name, this.isSpan ? "begin" : phase, all.join(""));
        if (this.isSpan) {
            this.endId = idOf(name, "end", "");
            core.publish(
                definition(this.id, name, "begin", args, true) + definition(this.endId, name, "end", args.slice(0, 1), true),
            );
        } else {
            core.publish(definition(this.id, name, phase, args, false));
        }
    }

    /** Emits the event, or the begin of the span, if the names of the arguments are those of this kind. Returns whether
     * they are. */
    emit(values) {
        const { fields, writers } = this;
        const first = this.isSpan ? 2 : 1;
        let count = 0;
        for (const field in values) {
            if (field !== fields[count]) {
                return false;
            }
            // The channel may have no room for all of them.
            writers[count](first + count, values[field]);
            count += 1;
        }
        if (count !== fields.length) {
            return false;
        }
        core.pair(0, this.id.low, this.id.high);
        core.emit();
        return true;
    }
}

/** A span. */
class Span {
    constructor(kind) {
        this.kind = kind;
        this.low = number.low;
        this.high = number.high;
    }

    /** Ends the span. Further calls do nothing. */
    end() {
        const { kind } = this;
        if (kind !== null) {
            this.kind = null;
            core.pair(0, kind.endId.low, kind.endId.high);
            core.pair(1, this.low, this.high);
            core.emit();
        }
    }
}

core.disposable(Span);
const NOTHING = new Span(null);

function codeOf(field, value) {
    const code = CODES[typeof value];
    if (code === undefined) {
        throw new TypeError(`${field}: an argument is a number, a BigInt or a boolean, not ${typeof value}`);
    }
    return code;
}

function identifier(name) {
    return name.replace(/[^\w]/g, "_");
}

/** The same in all processes, and different from the small numbers that people choose. */
function idOf(name, phase, codes) {
    const digest = createHash("sha256").update([name, phase, codes].join("\0")).digest();
    const word = digest.readBigUInt64LE(0) | (1n << 63n);
    return { word, low: Number(word & 0xffffffffn), high: Number(word >> 32n) };
}

function definition(id, name, phase, args, isSpan) {
    const quoted = name.replace(/\p{C}/gu, "?").trim().replace(/[\\"]/g, "\\$&") || "?";
    const key = isSpan && args.length > 0 ? 'key = "span"\n' : "";
    return `[[event]]\nid = ${id.word}\nname = "${quoted}"\nphase = "${phase}"\nargs = [${args.join(", ")}]\n${key}`;
}

/** The kind that has emitted an event, or the begin of a span, with `values`. */
function emitted(phase, name, values) {
    const table = tables[phase];
    let kind = table.get(name);
    if (kind !== undefined && kind.emit(values)) {
        return kind;
    }
    if (typeof name !== "string") {
        throw new TypeError("the name of an event is a string");
    }
    if (kind === undefined) {
        kind = new Kind(phase, name, values);
        table.set(name, kind);
    } else {
        // A call with fields that differ from those of the first call is another event.
        const longer = `${name} (${Object.keys(values).join(", ")})`;
        kind = table.get(longer) ?? new Kind(phase, longer, values);
        table.set(longer, kind);
    }
    kind.emit(values);
    return kind;
}

/** Emits an event. */
function event(name, values = NO_FIELDS) {
    if (core.isOpen) {
        emitted("instant", name, values);
    }
}

/** Emits the values of a counter. */
function counter(name, values) {
    if (core.isOpen) {
        emitted("counter", name, values);
    }
}

/** Begins a span, which its method `end` ends, in any function or task of this thread. */
function span(name, values = NO_FIELDS) {
    if (!core.isOpen) {
        return NOTHING;
    }
    number.low = (number.low + 1) >>> 0;
    if (number.low === 0) {
        number.high = randomInt(2 ** 32);
    }
    core.pair(1, number.low, number.high);
    return new Span(emitted("span", name, values));
}

/** A function that does the same as `body`, and each call of which is a span. If it returns a promise, the span ends
 * when the promise is settled. */
function traced(name, body) {
    function wrapper(...words) {
        const own = span(name);
        let result;
        try {
            result = body.apply(this, words);
        } catch (error) {
            own.end();
            throw error;
        }
        if (result instanceof Promise) {
            return result.finally(() => own.end());
        }
        own.end();
        return result;
    }
    for (const property of ["name", "length"]) {
        Object.defineProperty(wrapper, property, { value: body[property], configurable: true });
    }
    return wrapper;
}

module.exports = {
    counter,
    event,
    openChannel: core.openChannel,
    span,
    traced,
    get isOpen() {
        return core.isOpen;
    },
};
