"""The node's side: an ordinary ClientApp, but for its mod."""

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from secagg.engines.flower import secure_mod

app = ClientApp(mods=[secure_mod()])  # The only line that is not as usual.


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train on the node's own examples; with a resident station, this is not called."""
    from flower_digits.training import examples, fit

    node, nodes = int(str(context.node_config["node"])), int(str(context.node_config["nodes"]))
    record, config = message.content.array_records["arrays"], message.content.config_records["config"]
    trained = fit(
        [array.numpy() for array in record.values()],
        node=node,
        nodes=nodes,
        learning_rate=float(str(config["learning-rate"])),
        epochs=int(str(config["epochs"])),
    )
    arrays = ArrayRecord({name: Array(array) for name, array in zip(record, trained, strict=True)})
    metrics = MetricRecord({"num-examples": len(examples(node, nodes)[0])})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)
