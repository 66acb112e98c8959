export interface Order {
  readonly id: number;
}
