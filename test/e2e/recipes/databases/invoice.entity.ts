import { Check, Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('invoices')
@Check('total > 0')
export class Invoice {
  @PrimaryColumn()
  orderId!: number;

  @Column()
  total!: number;
}
