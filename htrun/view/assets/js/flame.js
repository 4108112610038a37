// Time by nesting: spans of one name within spans of the same names are one node of a tree.

// A node: the `name` of its spans (-1 for the root), how many they are (`count`), their time in ns (`total`), what of it
// is in no child (`own`), `parent` and `children`, the longest first.
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

  // Compute what follows from the spans and from the children.
  finish() {
    const within = this.children.reduce((sum, child) => sum + child.total, 0);
    this.children.sort((one, other) => other.total - one.total);
    if (!this.parent) this.total = within;
    this.own = this.total - within;
  }
}

// More levels than anyone looks at: a canvas has a greatest height.
const MOST_LEVELS = 400;

// The tree of what spans take of the time from `begin` to `end`. `thread`: the number of the only thread to include, or
// null for all. Spans with a key are not in it: they are not nested, but overlap.
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
    // The innermost that holds all of it.
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

// The boxes to draw, `width` pixels wide in all, if `top` is chosen: what is around it takes all of the width. Each:
// { node, level, left, width }; those narrower than `least` are left out.
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
  // Of a long chain only what is next to the chosen one.
  for (const node of chain.slice(-MOST_LEVELS / 2)) boxes.push({ node, level: level++, left: 0, width });
  add(top, 0, width);
  return boxes;
}
