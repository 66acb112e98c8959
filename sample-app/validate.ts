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
