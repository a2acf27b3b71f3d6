/** Ascending sort of a row's metrics by their bits: radix sort, three digits of 11 bits, least first. */
import { Job } from './job';

const DIGIT_BITS: u32 = 11;
const DIGIT_COUNT: u32 = 1 << DIGIT_BITS;

/** Of u32 [columns] in job.metrics, which stay as they are. The sorted ones stand where the result says. */
export function sortMetrics(job: Job): usize {
  scatter(job, job.metrics, job.sortFirst, 0);
  scatter(job, job.sortFirst, job.sortSecond, DIGIT_BITS);
  scatter(job, job.sortSecond, job.sortFirst, 2 * DIGIT_BITS);
  return job.sortFirst;
}

function scatter(job: Job, from: usize, to: usize, shift: u32): void {
  const digits = job.digits;
  const end = from + ((<usize>job.columns) << 2);
  memory.fill(digits, 0, DIGIT_COUNT << 2);
  for (let at = from; at < end; at += 4) {
    const digit = Digit.placeOf(digits, load<u32>(at), shift);
    store<u32>(digit, load<u32>(digit) + 1);
  }
  let before: u32 = 0;
  for (let at = digits; at < digits + (DIGIT_COUNT << 2); at += 4) {
    const count = load<u32>(at);
    store<u32>(at, before);
    before += count;
  }
  for (let at = from; at < end; at += 4) {
    const metric = load<u32>(at);
    const digit = Digit.placeOf(digits, metric, shift);
    const place = load<u32>(digit);
    store<u32>(digit, place + 1);
    store<u32>(to + ((<usize>place) << 2), metric);
  }
}

class Digit {
  @inline static placeOf(digits: usize, metric: u32, shift: u32): usize {
    return digits + ((<usize>((metric >>> shift) & (DIGIT_COUNT - 1))) << 2);
  }
}
