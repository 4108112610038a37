// Reads columns of numbers in the format of htrun/view/columns.py: compressed sections of byte planes, in base64.

const WORD = 8;

function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Resolves to the element with this id when the browser has read the element.
async function element(id) {
  const found = document.getElementById(id);
  // A section that is followed by another element has been read completely.
  if (found?.nextElementSibling || document.readyState !== "loading") return found;
  await new Promise((done) => document.addEventListener("DOMContentLoaded", done, { once: true }));
  return document.getElementById(id);
}

export class Columns {
  constructor() {
    this.sections = new Map();
  }

  // The column as an array of `Type` (Float64Array, Uint32Array, ...). Numbers of 2^53 or more are rounded.
  async numbers(column, Type) {
    const bytes = await this.section(column.section);
    const numbers = new Type(column.count);
    let start = column.start;
    let base = 0;
    column.planes.forEach((plane, place) => {
      const unit = 2 ** (8 * place);
      if (plane !== null) {
        base += plane * unit;
        return;
      }
      for (let i = 0; i < numbers.length; i++) numbers[i] += bytes[start + i] * unit;
      start += column.count;
    });
    if (column.rising) {
      let sum = 0;
      for (let i = 0; i < numbers.length; i++) numbers[i] = sum += numbers[i] + base;
    } else if (base) {
      for (let i = 0; i < numbers.length; i++) numbers[i] += base;
    }
    return numbers;
  }

  // The column as exact 64-bit words. Only for columns that are not stored as differences.
  async words(column) {
    const bytes = await this.section(column.section);
    const words = new Uint8Array(column.count * WORD);
    let start = column.start;
    column.planes.forEach((plane, place) => {
      for (let i = 0, at = place; i < column.count; i++, at += WORD) words[at] = plane ?? bytes[start + i];
      if (plane === null) start += column.count;
    });
    return new BigUint64Array(words.buffer);
  }

  section(number) {
    if (!this.sections.has(number)) this.sections.set(number, this.unpack(number));
    return this.sections.get(number);
  }

  async unpack(number) {
    const holder = await element(`section-${number}`);
    const bytes = await inflate(fromBase64(holder.textContent));
    holder.remove();
    return bytes;
  }
}
