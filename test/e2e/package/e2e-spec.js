// An end-to-end test as Nest's templates have it, for their Jest and their Vitest: TypeScript that needs no types.
import { Test } from '@nestjs/testing';
import request from 'supertest';

import { AppModule } from './../src/app.module';

describe('AppModule (e2e)', () => {
  let app;

  beforeEach(async () => {
    const moduleFixture = await Test.createTestingModule({ imports: [AppModule] }).compile();
    app = moduleFixture.createNestApplication();
    await app.init();
  });

  it('/events (GET)', async () => {
    await request(app.getHttpServer()).get('/publish').expect(200).expect('done');
    await request(app.getHttpServer()).get('/close').expect(200);
    const { text } = await request(app.getHttpServer()).get('/events').expect(200);
    expect(text).toContain('event: numbered\n');
    expect(text).toContain('event: sse.end\n');
  });

  afterEach(async () => {
    await app.close();
  });
});
