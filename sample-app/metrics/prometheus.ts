import { metrics } from '@opentelemetry/api';
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { MeterProvider } from '@opentelemetry/sdk-metrics';

/** The application serves what it has collected, so it opens no port of its own. */
const exporter = new PrometheusExporter({ preventServerStart: true });
const serializer = new PrometheusSerializer();

// Loaded before the application starts, which registers its figures with the provider that is there then.
metrics.setGlobalMeterProvider(new MeterProvider({ readers: [exporter] }));

/** All figures as they are now, in the format of Prometheus. */
export async function collect(): Promise<string> {
  const { resourceMetrics } = await exporter.collect();
  return serializer.serialize(resourceMetrics);
}
