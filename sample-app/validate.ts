import { BadRequestException } from '@nestjs/common';

/** A field of a request's body that has to be text. */
export function requireText(value: unknown, field: string, maxLength: number): string {
  if (typeof value === 'string' && value.trim() !== '' && value.length <= maxLength) return value.trim();
  throw new BadRequestException(`\`${field}\` has to be a text of 1 to ${maxLength} characters.`);
}

export function requireInteger(value: unknown, field: string, min: number, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
  throw new BadRequestException(`\`${field}\` has to be a whole number from ${min} to ${max}.`);
}

/** What becomes part of a topic, or of an id. */
export function isName(value: unknown): value is string {
  return typeof value === 'string' && /^[\w-]{1,64}$/.test(value);
}

export function requireName(value: unknown, field: string): string {
  if (isName(value)) return value;
  throw new BadRequestException(`\`${field}\` has to be a name of 1 to 64 letters, digits, _ and -.`);
}
