"""The node's side: the train function of an ordinary app, behind the mod."""

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from secagg.engines.flower import secure_mod
from secagg_test_app import end_once

app = ClientApp(mods=[secure_mod()])


@app.train()
def train(message: Message, context: Context) -> Message:
    """Move every entry by the node's step, and tell the server much beside; the first time, end as the node says."""
    end_once(str(context.node_config.get("ends", "")))
    step = float(str(context.node_config["step"]))
    record = message.content.array_records["arrays"]
    arrays = {name: Array(array.numpy() + step) for name, array in record.items()}
    metrics = MetricRecord({"num-examples": 12, "loss": step})
    return Message(RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics}), reply_to=message)
