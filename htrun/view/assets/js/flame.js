// The time taken by spans, as a tree. Spans with the same name form a node if the spans around them also have the same
// names.

// A node. `name`: the name of its spans (-1 for the root); `count`: the number of its spans; `total`: their time in ns;
// `own`: the part of `total` that is in no child; `parent`: its parent; `children`: its children, the greatest total
// first.
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

  // The child with the name `name`, created if it does not exist. `nodes`: receives a new node.
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

  // Compute the values that depend on all spans and children of the node.
  finish() {
    const within = this.children.reduce((sum, child) => sum + child.total, 0);
    this.children.sort((one, other) => other.total - one.total);
    if (!this.parent) this.total = within;
    this.own = this.total - within;
  }
}

// The maximum number of levels, because the height of a canvas is limited.
const MOST_LEVELS = 400;

// The tree of the times that spans take between `begin` and `end`. `thread`: the number of the only thread that is
// included; null: all threads. Spans with a key are left out, because they overlap and are not nested.
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
    // The innermost open span that contains the whole span.
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

// The boxes of the graph, `width` pixels wide, if the node `top` is chosen. `top` and the nodes around it take the
// whole width. A box is { node, level, left, width }. Boxes narrower than `least` pixels are left out.
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
  // If `top` has many ancestors, only the nearest are shown.
  for (const node of chain.slice(-MOST_LEVELS / 2)) boxes.push({ node, level: level++, left: 0, width });
  add(top, 0, width);
  return boxes;
}
