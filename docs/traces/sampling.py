from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler, TraceIdRatioBased


class LikeTheHandOver(Sampler):
    """Keeps attempts whose hand-over is kept, and a tenth of all other traces."""

    others = TraceIdRatioBased(0.1)

    def should_sample(
        self,
        parent_context,
        trace_id,
        name,
        kind=None,
        attributes=None,
        links=None,
        trace_state=None,
    ):
        kept = any(link.context.trace_flags.sampled for link in links or ())
        sampler = ALWAYS_ON if kept else self.others
        return sampler.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )

    def get_description(self):
        return "LikeTheHandOver"
