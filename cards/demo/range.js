const range = element.querySelector('.range');
const low = element.querySelector('.low');
const high = element.querySelector('.high');
const [first, second] = element.querySelectorAll('.range-track > i');
const { unit, circular } = range.dataset;
const [min, max, step] = [+range.dataset.min, +range.dataset.max, +range.dataset.step];
const digits = step < 1 ? String(step).split('.')[1].length : 0;

function draw() {
  const [from, to] = [+low.value, +high.value];
  const place = (value) => (100 * (value - min)) / (max - min);
  const span = (bar, a, b) => { bar.style.left = `${a}%`; bar.style.right = `${100 - b}%`; };
  // What is left out is veiled, so that a track of colours keeps its colours where it counts.
  if (from <= to) { span(first, 0, place(from)); span(second, place(to), 100); }
  else { span(first, place(to), place(from)); span(second, 100, 100); }
  const whole = from === min && to === max;
  element.querySelector('output').textContent = whole
    ? 'any' : `${from.toFixed(digits)}${unit} to ${to.toFixed(digits)}${unit}`;
  // Both thumbs at the upper end: the lower one must be the one that is caught.
  low.style.zIndex = from > (min + max) / 2 ? 3 : 2;
}

function take() {
  [low.value, high.value] = props.value;
  draw();
}

for (const thumb of [low, high]) {
  thumb.addEventListener('input', () => {
    if (!circular && +low.value > +high.value) thumb.value = thumb === low ? high.value : low.value;
    draw();
  });
  thumb.addEventListener('change', () => {
    props.value = [+low.value, +high.value];
    trigger('change', { value: props.value });
  });
}

watch('value', take);
take();
