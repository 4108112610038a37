// What the package and the code of `hypertrace header --lang javascript` have in common: the words of an event.
//
// SPDX-License-Identifier: MIT
"use strict";

const MOST_WORDS = 64;

/** The native module; null on systems for which it is not built. There, no event is recorded. */
function load() {
    try {
        return require("./build/Release/hypertrace_guest.node");
    } catch (error) {
        if (error.code !== "MODULE_NOT_FOUND") {
            throw error;
        }
        return null;
    }
}

const native = load();
const buffer = native === null ? new ArrayBuffer(8 * MOST_WORDS) : native.words;
const floats = new Float64Array(buffer);
const halves = new Uint32Array(buffer);
const integers = new BigInt64Array(buffer);
/** The offset of the lower half of a word; the upper half is at 1 - LOW. */
const LOW = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1 ? 0 : 1;

const core = {
    /** Whether a channel is open. Without one, nothing may be written or emitted. */
    isOpen: false,
    /** The number of arguments of each event, with the id. */
    numArgs: 0,

    /** Opens the channel `path`, by default the one that htrun names. Returns whether a channel is open. */
    openChannel(path) {
        if (!core.isOpen && native !== null) {
            core.numArgs = native.start(path);
            core.isOpen = core.numArgs > 0;
        }
        return core.isOpen;
    },

    /** Passes definitions of events (TOML) to htrun. */
    publish(text) {
        if (core.isOpen) {
            native.publish(text);
        }
    },

    /** Emits an event with the words that have been written. */
    emit: native === null ? () => undefined : native.emit,

    /** Writes a word as two halves. */
    pair(place, low, high) {
        halves[2 * place + LOW] = low;
        halves[2 * place + 1 - LOW] = high;
    },

    /** Writes a number without a fraction, or a BigInt, as 64 bits. Other values are a TypeError. */
    integer(place, value) {
        if (Number.isSafeInteger(value)) {
            // Stores to a Uint32Array are modulo 2**32, and divisions by a power of two are exact.
            halves[2 * place + LOW] = value;
            halves[2 * place + 1 - LOW] = Math.floor(value / 4294967296);
        } else if (typeof value === "bigint") {
            integers[place] = value;
        } else {
            throw new TypeError(`${String(value)} is no integer of 53 bits and no BigInt`);
        }
    },

    /** Writes a number as a float. Other values are a TypeError. */
    float(place, value) {
        if (typeof value !== "number") {
            throw new TypeError(`${String(value)} is no number`);
        }
        floats[place] = value;
    },

    /** Writes whether `value` is true. */
    truth(place, value) {
        halves[2 * place + LOW] = value ? 1 : 0;
        halves[2 * place + 1 - LOW] = 0;
    },

    /** Lets the statement `using` end spans of a class, where JavaScript has this statement. */
    disposable(type) {
        if (Symbol.dispose !== undefined) {
            Object.defineProperty(type.prototype, Symbol.dispose, {
                value() {
                    this.end();
                },
            });
        }
    },
};

core.openChannel();
module.exports = core;
