// The trace as arrays: its events in order of time, and its spans.
//
// Events are numbered from 0. Spans are numbered from 0 in the order in which they begin.

export class Trace {
  // Use `Trace.load` to create a trace. `head`: the plain data of the page; `columns`: reads the columns of the page.
  constructor(head, columns) {
    this.head = head;
    this.columns = columns;
    this.begin = BigInt(head.begin);
    this.length = head.length;
    this.threads = head.threads;
    this.kinds = head.kinds;
  }

  static async load(head, columns) {
    const trace = new Trace(head, columns);
    [trace.time, trace.kind, trace.thread] = await Promise.all([
      columns.numbers(head.events.time, Float64Array),
      columns.numbers(head.events.kind, Uint16Array),
      columns.numbers(head.events.thread, Uint32Array),
    ]);
    trace.count = trace.time.length;
    trace.number();
    await trace.readSpans();
    return trace;
  }

  // `rank`: the index of each event among the events of its kind, which is its index in the columns of this kind.
  number() {
    this.rank = new Uint32Array(this.count);
    this.kindCounts = new Uint32Array(this.kinds.length);
    for (let event = 0; event < this.count; event++) this.rank[event] = this.kindCounts[this.kind[event]]++;
    // The names of spans come first, then the names of kinds of events that do not begin or end spans.
    this.names = this.head.spans.map((span) => span.name);
    this.kindName = this.kinds.map((kind) => {
      const place = this.names.indexOf(kind.name);
      return place >= 0 && (kind.phase === "begin" || kind.phase === "end") ? place : this.names.push(kind.name) - 1;
    });
  }

  async readSpans() {
    const { columns, head, count } = this;
    const loaded = await Promise.all(
      head.spans.map(async (span) => [
        await columns.numbers(span.begin, Uint32Array),
        await columns.numbers(span.end, Uint32Array),
        await columns.numbers(span.trapped, Uint8Array),
      ]),
    );
    // `spanOf`: N for the event that begins span N; -N - 2 for the event that ends span N; -1 for other events.
    this.spanOf = new Int32Array(count).fill(-1);
    const endOf = new Uint32Array(count);
    const nameOf = new Uint16Array(count);
    const trappedOf = new Uint8Array(count);
    loaded.forEach(([begins, ends, trapped], name) => {
      for (let i = 0; i < begins.length; i++) {
        this.spanOf[begins[i]] = 0;
        endOf[begins[i]] = ends[i];
        nameOf[begins[i]] = name;
        trappedOf[begins[i]] = trapped[i];
      }
    });
    const total = loaded.reduce((sum, [begins]) => sum + begins.length, 0);
    this.spans = total;
    this.spanBegin = new Uint32Array(total);
    this.spanEnd = new Uint32Array(total);
    this.spanName = new Uint16Array(total);
    // Whether an event in the span trapped. The trap took a part of the span's time.
    this.trapped = new Uint8Array(total);
    this.start = new Float64Array(total);
    this.end = new Float64Array(total);
    let span = 0;
    for (let event = 0; event < count; event++) {
      if (this.spanOf[event] !== 0) continue;
      this.spanOf[event] = span;
      this.spanBegin[span] = event;
      this.spanEnd[span] = endOf[event];
      this.spanName[span] = nameOf[event];
      this.trapped[span] = trappedOf[event];
      this.start[span] = this.time[event];
      this.end[span] = this.time[endOf[event]];
      span++;
    }
    for (span = 0; span < total; span++) this.spanOf[this.spanEnd[span]] = -2 - span;
  }

  duration(span) {
    return this.end[span] - this.start[span];
  }

  // The span that `event` begins or ends; -1 if there is none.
  spanAt(event) {
    const place = this.spanOf[event];
    return place >= -1 ? place : -2 - place;
  }

  // The name of the event, as an index into `names`.
  nameOf(event) {
    const span = this.spanAt(event);
    return span >= 0 ? this.spanName[span] : this.kindName[this.kind[event]];
  }

  // Whether the event is a begin without an end, or an end without a begin.
  unpaired(event) {
    const { phase } = this.kinds[this.kind[event]];
    return this.spanOf[event] === -1 && (phase === "begin" || phase === "end");
  }

  // The arguments of an event, as pairs of a field and its 64-bit word.
  async fields(event) {
    const { fields } = this.kinds[this.kind[event]];
    const words = await Promise.all(fields.map((field) => this.words(field)));
    return fields.map((field, place) => [field, words[place][this.rank[event]]]);
  }

  // All words of a field, one for each event of the field's kind.
  words(field) {
    field.words ??= this.columns.words(field.column);
    return field.words;
  }

  async site(event) {
    this.sites ??= this.columns.numbers(this.head.events.site, Uint32Array);
    return (await this.sites)[event];
  }
}
