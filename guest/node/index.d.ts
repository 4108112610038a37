// SPDX-License-Identifier: MIT

/** A number is recorded as a 64-bit float, a BigInt as a 64-bit integer. */
export type Value = number | bigint | boolean;
export type Values = Readonly<Record<string, Value>>;

export interface Span {
    /** Ends the span. Further calls do nothing. */
    end(): void;
    [Symbol.dispose](): void;
}

/** Emits an event. The first call of an event gives the types of its arguments. */
export function event(name: string, values?: Values): void;

/** Emits the values of a counter. */
export function counter(name: string, values: Values): void;

/** Begins a span. Each span has a unique number, so tasks that run alternately in one thread do not mix their spans. */
export function span(name: string, values?: Values): Span;

/** A function that does the same as `body`, and each call of which is a span. If it returns a promise, the span ends
 * when the promise is settled. */
export function traced<F extends (...words: never[]) => unknown>(name: string, body: F): F;

/** Opens the channel `path`, by default the one that htrun names. Returns whether a channel is open. The package does
 * this when it is loaded. */
export function openChannel(path?: string): boolean;

/** Whether a channel is open. */
export const isOpen: boolean;
