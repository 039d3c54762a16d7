"""OpenVINO on the CPU, latency of one request. PRECISION is f32 or bf16: what it is told to compute in."""


def load(threads, precision):
    import numpy as np
    import openvino as ov
    from openvino import opset13 as o

    core, random = ov.Core(), np.random.default_rng(1)

    def weight(*shape):
        return o.constant((random.standard_normal(shape) * 0.02).astype(np.float32))

    def ints(*values):
        return o.constant(np.array(values, np.int64))

    def linear(x, out, in_):
        return o.add(o.matmul(x, weight(out, in_), False, True), weight(out))

    def norm(x, d):
        x = o.mvn(x, ints(-1), True, 1e-5, "inside_sqrt")
        return o.add(o.multiply(x, o.constant(np.ones(d, np.float32))), o.constant(np.zeros(d, np.float32)))

    def vit_block(x, b, t=577, d=1024, ff=4096, heads=16):
        h = norm(x, d)
        q, k, v = (o.transpose(o.reshape(linear(h, d, d), ints(b, t, heads, d // heads), False), ints(0, 2, 1, 3)) for _ in range(3))
        y = o.transpose(o.scaled_dot_product_attention(q, k, v), ints(0, 2, 1, 3))
        x = o.add(x, linear(o.reshape(y, ints(b, t, d), False), d, d))
        h = linear(norm(x, d), ff, d)
        return o.add(x, linear(o.multiply(h, o.sigmoid(o.multiply(h, o.constant(np.float32(1.702))))), d, ff))

    def vit_forward(pictures=1):
        b = pictures
        pixels = o.parameter([b, 3, 336, 336], np.float32)
        x = o.convolution(pixels, weight(1024, 3, 14, 14), [14, 14], [0, 0], [0, 0], [1, 1])
        x = o.transpose(o.reshape(x, ints(b, 1024, 576), False), ints(0, 2, 1))
        x = o.add(o.concat([weight(b, 1, 1024), x], 1), weight(577, 1024))
        x = norm(x, 1024)
        for _ in range(24):
            x = vit_block(x, b)
        return compiled(ov.Model([x], [pixels]), random.random((b, 3, 336, 336), np.float32))

    def compiled(model, given):
        m = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY",
                                              "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1})
        took = m.get_property("INFERENCE_PRECISION_HINT").to_string()
        if took != precision:
            raise RuntimeError(f"OpenVINO computes in {took} here")
        request = m.create_infer_request()
        request.set_input_tensor(ov.Tensor(given))
        return request.infer

    return {"vit_forward": vit_forward}
