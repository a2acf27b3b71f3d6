import { describe, expect, it } from 'vitest';
import { addressReason } from '../../../shared/rpc/address-reason.ts';

describe('why an address cannot be had', () => {
  it.each([
    [
      'No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:7070',
      'nothing listens there (ECONNREFUSED)',
    ],
    [
      'No address added out of total 1 resolved errors: [listen EADDRINUSE: address already in use 127.0.0.1:7070]',
      'another process listens there (EADDRINUSE)',
    ],
    ['Name resolution failed for target dns:nohost:70', 'there is no host of that name, or no name server answers'],
    ['Connection dropped', 'Connection dropped'],
  ])('%s', (text, told) => expect(addressReason(text)).toBe(told));
});
