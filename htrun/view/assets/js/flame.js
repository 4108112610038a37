// Time by nesting: spans of one name within spans of the same names are one node of a tree.

// A node. `name`: of its spans (-1 for the root); `count`: their number; `total`: their time in ns; `own`: the part of
// it that is in no child; `parent`; `children`: the longest first.
class Node {
  constructor(name, parent) {
    this.name = name;
    this.parent = parent;
    this.count = 0;
    this.total = 0;
    this.own = 0;
    this.byName = new Map();
    this.children = [];
  }

  // `nodes`: all nodes, to which a new one is added.
  child(name, nodes) {
    let found = this.byName.get(name);
    if (!found) {
      found = new Node(name, this);
      this.byName.set(name, found);
      this.children.push(found);
      nodes.push(found);
    }
    return found;
  }

  // Compute the values that depend on all spans and children.
  finish() {
    const within = this.children.reduce((sum, child) => sum + child.total, 0);
    this.children.sort((one, other) => other.total - one.total);
    if (!this.parent) this.total = within;
    this.own = this.total - within;
  }
}

// The maximum of levels, more than anyone looks at: the height of a canvas is limited.
const MOST_LEVELS = 400;

// The tree of the times that spans take between `begin` and `end`. `thread`: the number of the only thread to include,
// or null for all. Spans with a key are not in it: they are not nested, but overlap.
export function flameTree(trace, begin, end, thread) {
  const root = new Node(-1, null);
  const nodes = [root];
  const across = trace.head.spans.map((span) => span.across);
  const open = trace.threads.map(() => []);
  for (let span = 0; span < trace.spans && trace.start[span] < end; span++) {
    const [from, to] = [trace.start[span], trace.end[span]];
    const own = trace.thread[trace.spanBegin[span]];
    if (to < begin || across[trace.spanName[span]] || (thread !== null && own !== thread)) continue;
    const around = open[own];
    while (around.length && around[around.length - 1].to <= from) around.pop();
    // The innermost node that contains all of it.
    let place = around.length - 1;
    while (place >= 0 && around[place].to < to) place--;
    const node = (place >= 0 ? around[place].node : root).child(trace.spanName[span], nodes);
    node.count++;
    node.total += Math.min(to, end) - Math.max(from, begin);
    around.push({ to, node });
  }
  for (const node of nodes) node.finish();
  return root;
}

// The boxes to draw in `width` pixels if `top` is chosen: `top` and the nodes around it take the whole width. Each box
// is { node, level, left, width }; boxes narrower than `least` are left out.
export function boxesOf(top, width, least = 1) {
  const boxes = [];
  let level = 0;
  const add = (node, left, room) => {
    boxes.push({ node, level, left, width: room });
    if (level > MOST_LEVELS) return;
    let x = left;
    level++;
    for (const child of node.children) {
      const part = node.total ? (child.total / node.total) * room : 0;
      if (part < least) break;
      add(child, x, part);
      x += part;
    }
    level--;
  };
  const chain = [];
  for (let node = top.parent; node; node = node.parent) chain.unshift(node);
  // If the chain is long, only the nodes next to the chosen one are shown.
  for (const node of chain.slice(-MOST_LEVELS / 2)) boxes.push({ node, level: level++, left: 0, width });
  add(top, 0, width);
  return boxes;
}
