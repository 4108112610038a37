// The position of each process, track and row, from top to bottom, in CSS pixels.

const PROCESS = 30;
const GAP = 8;
const HEIGHTS = { spans: 20, instants: 18, counter: 44 };
const DENSE = { lanes: 16, height: 7 };

export class Layout {
  constructor(processes) {
    this.processes = processes;
    this.arrange();
  }

  // `headers`: the processes. `tracks`: the tracks of expanded processes. `rows`: the rows of these tracks. Each
  // element has a `top` and a `height`.
  arrange() {
    this.headers = [];
    this.tracks = [];
    this.rows = [];
    let top = 0;
    for (const process of this.processes) {
      this.headers.push({ process, top, height: PROCESS });
      top += PROCESS;
      if (process.open) for (const track of process.tracks) top = this.addTrack(track, top);
    }
    this.height = top + GAP;
  }

  addTrack(track, top) {
    const dense = track.rows.length > DENSE.lanes;
    const placed = { track, top, height: 0 };
    let y = top + GAP / 2;
    for (const row of track.rows) {
      const height = dense && row.kind === "spans" ? DENSE.height : HEIGHTS[row.kind];
      this.rows.push({ row, track, top: y, height });
      y += height;
    }
    placed.height = Math.max(y + GAP / 2 - top, 38);
    this.tracks.push(placed);
    return top + placed.height;
  }

  // The items of `placed` (headers, tracks or rows) that are between `top` and `bottom`.
  within(placed, top, bottom) {
    return placed.filter((each) => each.top + each.height > top && each.top < bottom);
  }

  rowAt(y) {
    return this.rows.find((each) => y >= each.top && y < each.top + each.height);
  }

  rowOf(row) {
    return this.rows.find((each) => each.row === row);
  }
}
