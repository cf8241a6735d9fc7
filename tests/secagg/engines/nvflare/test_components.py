"""FLARE's own classes with a double of its engine: what is answered, what is refused, and what a job holds."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("nvflare", reason="needs the extra nvflare")

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply

from protocols.pairwise import SecAggPlus
from secagg.engines.nvflare import SecureAveragingRecipe, SecureController, SecureExecutor
from secagg.engines.nvflare.components import REPORT_NAME, TOPIC, FlareLink
from secagg.engines.nvflare.local_file import FILE_NAME
from secagg.engines.nvflare.message import HELLO, Message
from secagg.engines.nvflare.model_file import MODEL_NAME, RESULT_NAME, read_model, write_model
from secagg.engines.nvflare.plan_settings import plan_settings
from secagg.engines.nvflare.site_policy import EXECUTOR_CLASS
from secagg.engines.server.channel import Failure
from secagg.engines.server.plans import averaging
from secagg.engines.wire.parcel import Refusal, open_reply
from secagg.errors import ConfigurationError
from secagg.storage.node_keys import COORDINATOR_NAME, create_coordinator
from secagg.storage.public_line import coordinator_line
from secagg.storage.roster_file import ROSTER_NAME
from tests.support.flare_training import step_of
from tests.support.homes import exact_text, homes

Handler = Callable[..., Any]
PLAN = averaging(SecAggPlus, clip_l2=4.0, adversarial=0.0, dropout=0.34)
MODEL: dict[str, NDArray[Any]] = {"kernel": np.zeros((2, 2), np.float32), "bias": np.ones(3)}


@dataclass
class Engine:
    """FLARE's engine in one process: requests go to the handlers of the sites."""

    folder: Path
    name: str
    sites: "dict[str, Engine]" = field(default_factory=dict)
    handlers: dict[str, Handler] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    submitter: str | None = None

    def register_aux_message_handler(self, topic: str, handler: Handler) -> None:
        self.handlers[topic] = handler

    def get_workspace(self) -> Any:
        return SimpleNamespace(
            get_site_config_dir=lambda: str(self.folder / "local"),
            get_app_config_dir=lambda job: str(self.folder / job / "config"),
            get_run_dir=lambda job: str(self.folder / job),
        )

    def new_context(self) -> "Context":
        return Context(self)

    def fire_event(self, event: str, fl_ctx: "Context") -> None:
        self.events.append(event)

    def send_aux_request(
        self, targets: list[str], topic: str, request: Any, timeout: float, fl_ctx: "Context", *, optional: bool
    ) -> dict[str, Any]:
        assert optional
        assert timeout > 0
        found = {name: self.sites[name].handlers.get(topic) for name in targets if name in self.sites}
        return {
            name: make_reply(ReturnCode.TOPIC_UNKNOWN) if handler is None else handler(topic, request, fl_ctx)
            for name, handler in found.items()
        }


class Context(FLContext):  # type: ignore[misc]  # nvflare has no types.
    """FLARE's context, as far as it is used."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine

    def get_engine(self, *_: Any) -> Engine:
        return self.engine

    def get_identity_name(self, *_: Any) -> str:
        return self.engine.name

    def get_job_id(self, *_: Any) -> str:
        return "job"

    def get_prop(self, key: str, default: Any = None) -> Any:
        if key == FLContextKey.JOB_META:
            return {} if self.engine.submitter is None else {"submitter_name": self.engine.submitter}
        return super().get_prop(key, default)


@pytest.fixture
def server(tmp_path: Path) -> Engine:
    """Return a server with 3 sites, whose files are complete."""
    coordinator = tmp_path / "coordinator"
    public = create_coordinator(coordinator).public
    paths = homes(tmp_path, 3, text=exact_text(encrypted_live_folder=str(tmp_path / "live")))
    engine = Engine(tmp_path / "server", "server", submitter="lead@a.org")
    for path in paths:
        (path / COORDINATOR_NAME).write_text(f"{coordinator_line(public)}\n")
        site = Engine(tmp_path / f"kit-{path.name}", path.name)
        local(site, f'[node]\nhome = "{tmp_path}/{{site}}"\ntrain = "{__name__}:train"\n')
        engine.sites[path.name] = site
    (coordinator / ROSTER_NAME).write_bytes((paths[0] / ROSTER_NAME).read_bytes())
    local(engine, f'[coordinators.digits]\nfolder = "{coordinator}"\nsubmitters = ["lead@a.org"]\n')
    return engine


def train(work: Any) -> Any:
    from secagg.engines.base import Update

    return Update([np.full(array.shape, step_of("node-1", work.round)) for array in work.arrays])


def local(engine: Engine, text: str) -> None:
    (engine.folder / "local").mkdir(parents=True)
    (engine.folder / "local" / FILE_NAME).write_text(text)


def started(engine: Engine) -> SecureExecutor:
    executor = SecureExecutor()
    executor.handle_event(EventType.START_RUN, Context(engine))
    return executor


def asked(engine: Engine, content: dict[str, Any]) -> Any:
    return engine.handlers[TOPIC](TOPIC, Shareable(content), Context(engine))


def test_the_class_of_the_allow_list_is_the_executor() -> None:
    assert f"{SecureExecutor.__module__}.{SecureExecutor.__qualname__}" == EXECUTOR_CLASS


def test_executor_answers_its_topic_alone(server: Engine) -> None:
    site = server.sites["node-0"]
    executor = SecureExecutor()
    for event in (EventType.ABOUT_TO_START_RUN, EventType.BEFORE_TASK_EXECUTION, EventType.END_RUN):
        executor.handle_event(event, Context(site))
        assert not site.handlers
    executor.handle_event(EventType.START_RUN, Context(site))
    assert list(site.handlers) == [TOPIC]
    assert not site.events


@pytest.mark.parametrize("task", ["train", "validate", "submit_model", "secagg", ""])
def test_executor_refuses_every_task(server: Engine, task: str) -> None:
    reply = started(server.sites["node-0"]).execute(task, Shareable(), Context(server), None)
    assert reply.get_return_code() == ReturnCode.TASK_UNSUPPORTED
    assert set(reply) == {"__headers__"}


def test_only_a_return_code_and_a_parcel_travel(server: Engine) -> None:
    site = server.sites["node-0"]
    started(site)
    for call in ({"parcel": b""}, {"parcel": b"no parcel", "number": 1}):
        reply = asked(site, call | {"more": "anything"})
        assert set(reply) == {"__headers__", "parcel"}
        assert reply["__headers__"] == {"__rc__": ReturnCode.OK}
    assert open_reply(reply["parcel"], 1000).refusal is Refusal.MALFORMED


@pytest.mark.parametrize(
    "content", [{}, {"parcel": "text"}, {"parcel": b"parcel"}, {"number": 1}, {"parcel": b"", "number": "1"}, {"at": 0}]
)
def test_a_request_that_is_no_call_is_refused(server: Engine, content: dict[str, Any]) -> None:
    started(server.sites["node-0"])
    reply = asked(server.sites["node-0"], content)
    assert reply.get_return_code() == ReturnCode.BAD_REQUEST_DATA
    assert set(reply) == {"__headers__"}


def test_a_site_without_its_file_panics_and_answers_nothing(tmp_path: Path) -> None:
    site = Engine(tmp_path, "site-1")
    started(site)
    assert site.events == [EventType.FATAL_SYSTEM_ERROR]
    for parcel in (b"", b"parcel"):
        assert asked(site, {"parcel": parcel}).get_return_code() == ReturnCode.SERVICE_UNAVAILABLE


def test_link_reaches_sites_that_are_ready(server: Engine) -> None:
    link, parcel = FlareLink(server), Message(parcel=b"parcel", number=1)
    for message in (HELLO, parcel):
        assert link.call("node-0", message, 1.0) == Failure(f"FLARE: {ReturnCode.TOPIC_UNKNOWN}")
        assert link.call("elsewhere", message, 1.0) == Failure("not connected")
    started(server.sites["node-0"])
    assert link.call("node-0", HELLO, 1.0) == HELLO
    answer = link.call("node-0", parcel, 1.0)
    assert isinstance(answer, Message)
    assert answer.parcel


def test_link_takes_no_answer_of_another_type(server: Engine) -> None:
    for content in ({"parcel": "text"}, {"size": -1}, {"size": "1"}):
        reply = Shareable(content)
        reply.set_return_code(ReturnCode.OK)
        server.sites["node-0"].handlers[TOPIC] = lambda *_, reply=reply: reply
        assert FlareLink(server).call("node-0", HELLO, 1.0) == Failure("no answer")


@pytest.mark.parametrize("code", ["X" * 300, "a\nb", "", "my label", 7, None, ["OK"], {"a": 1}])
def test_a_return_code_of_a_sites_own_becomes_no_reason(server: Engine, code: Any) -> None:
    """Reasons are labels of metrics, so a site could else fill them, or end the job by a text that is no reason."""
    server.sites["node-0"].handlers[TOPIC] = lambda *_: make_reply(code)
    link = FlareLink(server)
    assert link.call("node-0", HELLO, 1.0) == Failure("FLARE: other")


def test_a_reply_without_headers_of_flare_is_a_failure(server: Engine) -> None:
    reply = Shareable({"parcel": b""})
    reply["__headers__"] = "text"
    server.sites["node-0"].handlers[TOPIC] = lambda *_: reply
    assert FlareLink(server).call("node-0", HELLO, 1.0) == Failure("FLARE: other")


def controller(**changes: Any) -> SecureController:
    settings: dict[str, Any] = {
        "coordinator": "digits",
        "run": "digits",
        "rounds": 2,
        "deadline": 30.0,
        "min_clients": 3,
    }
    return SecureController(**(settings | {"plan": plan_settings(PLAN), "settings": {}} | changes))


def test_controller_trains_and_writes_the_model(server: Engine) -> None:
    for site in server.sites.values():
        started(site)
    config = server.folder / "job" / "config"
    config.mkdir(parents=True)
    write_model(config / MODEL_NAME, MODEL)
    controller().control_flow(SimpleNamespace(triggered=False), Context(server))
    model = read_model(server.folder / "job" / RESULT_NAME)
    moved = step_of("node-1", 1) + step_of("node-1", 2)
    np.testing.assert_allclose(model["kernel"], moved, atol=1e-4)
    np.testing.assert_allclose(model["bias"], 1 + moved, atol=1e-4)
    reports = [json.loads(line) for line in (server.folder / "job" / REPORT_NAME).read_text().splitlines()]
    assert [(report["round"], report["contributors"], len(report["steps"])) for report in reports] == [
        (1, 3, 4),
        (2, 3, 4),
    ]


def test_a_job_of_another_submitter_asks_nobody(server: Engine) -> None:
    """Nor is its model read, which would fail here: the file is damaged."""
    config = server.folder / "job" / "config"
    config.mkdir(parents=True)
    (config / MODEL_NAME).write_bytes(b"no model")
    server.submitter = "lead@b.org"
    with pytest.raises(ConfigurationError, match="submitters"):
        controller().control_flow(SimpleNamespace(triggered=False), Context(server))


def recipe(**changes: Any) -> SecureAveragingRecipe:
    settings: dict[str, Any] = {
        "model": MODEL,
        "plan": PLAN,
        "coordinator": "digits",
        "rounds": 2,
        "deadline": 30,
        "name": "digits",
    }
    return SecureAveragingRecipe(**(settings | changes))


def test_a_job_holds_plain_values_and_no_code(tmp_path: Path) -> None:
    recipe(settings={"rate": 0.5}, clients=["a", "b"]).export(str(tmp_path))
    job = tmp_path / "digits"
    assert sorted(str(path.relative_to(job)) for path in job.rglob("*") if path.is_file()) == [
        "app/config/config_fed_client.json",
        "app/config/config_fed_server.json",
        f"app/config/{MODEL_NAME}",
        "meta.json",
    ]
    client = json.loads((job / "app" / "config" / "config_fed_client.json").read_text())
    assert client["executors"] == [{"tasks": ["*"], "executor": {"path": EXECUTOR_CLASS, "args": {}}}]
    assert client["components"] == client["task_data_filters"] == client["task_result_filters"] == []
    (workflow,) = json.loads((job / "app" / "config" / "config_fed_server.json").read_text())["workflows"]
    remade = SecureController(**workflow["args"])
    assert workflow["path"] == f"{SecureController.__module__}.{SecureController.__qualname__}"
    assert remade.plan == plan_settings(PLAN)
    assert (remade.settings, remade.clients, remade.deadline, remade.rounds) == ({"rate": 0.5}, ["a", "b"], 30, 2)
    assert list(read_model(job / "app" / "config" / MODEL_NAME)) == ["kernel", "bias"]


@pytest.mark.parametrize(
    "changes",
    [
        {"rounds": 0},
        {"deadline": 0},
        {"min_clients": 1},
        {"plan": lambda clients, work, parties: None},
        {"settings": {"list": [1]}},
        {"model": [np.array(["text"])]},
        {"name": "a" * 65},
    ],
)
def test_a_job_that_cannot_work_is_not_made(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        recipe(**changes)
