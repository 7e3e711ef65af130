const wheel = element.querySelector('.wheel');
const moods = JSON.parse(wheel.dataset.moods);
const options = () => [...element.querySelectorAll('[role=radio]')];

function describe() {
  element.querySelector('.mood').textContent = moods[props.value || ''];
}

function choose(emotion, focus) {
  props.value = emotion;
  trigger('change', { value: emotion });
  if (focus) element.querySelector(`[data-emotion="${emotion}"]`).focus();
  // The template is filled in anew in a microtask, the mood after it.
  setTimeout(describe);
}

element.addEventListener('click', (event) => {
  const option = event.target.closest('[role=radio]');
  if (!option) return;
  const emotion = option.dataset.emotion;
  choose(emotion === props.value ? '' : emotion, true);
});

element.addEventListener('keydown', (event) => {
  const option = event.target.closest('[role=radio]');
  if (!option) return;
  const all = options().filter((other) => other.dataset.emotion);
  const here = all.indexOf(option);
  const turn = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  let next;
  if (turn) next = all[here < 0 ? (turn > 0 ? 0 : all.length - 1) : (here + turn + all.length) % all.length];
  else if (event.key === 'Home') next = all[0];
  else if (event.key === 'End') next = all[all.length - 1];
  else if (event.key === 'Enter' || event.key === ' ') next = option;
  else if (event.key === 'Escape' || event.key === 'Delete') next = element.querySelector('.none');
  else return;
  event.preventDefault();
  choose(next.dataset.emotion, true);
});

watch('value', describe);
describe();
