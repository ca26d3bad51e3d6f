"""Each operation of the table gives in onnxruntime what it gives in JAX, for any batch."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from operation_examples import COLUMNS, EXAMPLES, ROWS, draw, examples_of, program_of

from flax_transformer.interchange.programs.model_programs import Kind, NotHeldError, Program

pytest.importorskip("onnx", reason="needs the extra onnx")
runtime: Any = pytest.importorskip("onnxruntime", reason="needs the extra onnx")

from flax_transformer.interchange.programs.onnx_operations import primitives  # noqa: E402
from flax_transformer.interchange.programs.onnx_programs import onnx_model  # noqa: E402

pytestmark = pytest.mark.usefixtures("quickly_compiled")


@pytest.mark.parametrize("primitive", primitives())
def test_an_operation_gives_the_same(primitive):
    for program in examples_of(primitive):
        session = runtime.InferenceSession(onnx_model(program, {}).SerializeToString())
        for rows in (ROWS, 5):
            inputs = draw(rows)
            expected = np.asarray(program.function({}, inputs)["y"])
            (found,) = session.run(["y"], inputs)
            assert found.dtype == expected.dtype
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("primitive", primitives())
def test_the_example_has_the_operation(primitive):
    examples = EXAMPLES[primitive]
    for function in examples if isinstance(examples, list) else [examples]:
        x = jax.ShapeDtypeStruct(jax.export.symbolic_shape(f"batch, {COLUMNS}"), "float32")
        i = jax.ShapeDtypeStruct(x.shape[:1], "int32")
        assert f" {primitive}[" in f"{jax.jit(function).trace(x, i).jaxpr} ".replace(
            f" {primitive} ", f" {primitive}[ "
        )


def test_outputs_may_be_one_value_or_an_input():
    def of_names(variables: Any, inputs: Any) -> dict[str, Any]:
        double = 2 * inputs["x"]
        return {"a": double, "b": double, "c": inputs["x"], "d": double + 1}

    model = onnx_model(Program(of_names, {"x": Kind(("batch",), "float32")}), {})
    session = runtime.InferenceSession(model.SerializeToString())
    found = session.run(["a", "b", "c", "d"], {"x": np.array([3, 5], np.float32)})
    assert [array.tolist() for array in found] == [[6, 10], [6, 10], [3, 5], [7, 11]]


def test_an_unknown_operation_is_named():
    with pytest.raises(NotHeldError, match=r"^JAX's operation sort$"):
        onnx_model(program_of(lambda x, i: jnp.sort(x)), {})
