// The colours of names, which are the same on all pages, and the other colours, which come from the style sheet.

const HUES = 12;
const FIRST_HUE = 255;
const GOLDEN_ANGLE = 137.508;

// Björn Ottosson, "A perceptual color space for image processing" (Oklab), in sRGB from 0 to 255.
function oklch(lightness, chroma, hue) {
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ].map((linear) => {
    const light = Math.min(1, Math.max(0, linear));
    return Math.round(255 * (light <= 0.0031308 ? 12.92 * light : 1.055 * light ** (1 / 2.4) - 0.055));
  });
}

export class Palette {
  // `names`: the number of names.
  constructor(names) {
    this.names = names;
    this.read();
  }

  // Read the colours of the current theme.
  read() {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(`--${name}`).trim();
    this.dark = of("dark") === "1";
    this.text = of("text");
    this.dim = of("dim");
    this.line = of("line");
    this.band = of("band");
    this.surface = of("surface");
    this.accent = of("accent");
    this.second = of("second");
    this.range = of("range");
    this.rangeEdge = of("range-edge");
    this.mark = of("mark");
    this.alarm = of("alarm");
    this.onSpan = "#0d1017";
    this.font = of("font");
    this.fills = Array.from({ length: this.names }, (_, name) => this.fill(name));
    this.styles = this.fills.map(([r, g, b]) => `rgb(${r} ${g} ${b})`);
    // The pixels of an image as words, without alpha. Words are little-endian, as on every machine with a browser.
    this.words = Uint32Array.from(this.fills, ([r, g, b]) => (b << 16) | (g << 8) | r);
  }

  fill(name) {
    const round = Math.floor(name / HUES) % 3;
    const lightness = (this.dark ? 0.7 : 0.77) - 0.07 * round;
    return oklch(lightness, 0.115 - 0.02 * round, FIRST_HUE + (name % (HUES * 3)) * GOLDEN_ANGLE);
  }
}
