"""The classes that FLARE loads and that its users name: the only module that imports `nvflare`, which has no types.

What travels is one Shareable with a `secagg.engines.nvflare.message.Message`, and back one with a return code and
another message. The executor answers the topic `secagg`; it refuses every task, and FLARE refuses every other topic.
"""

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from numpy.typing import ArrayLike
from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.impl.controller import Controller
from nvflare.apis.job_def import JobMetaKey
from nvflare.apis.shareable import ReturnCode, Shareable, make_reply
from nvflare.job_config.api import FedJob
from nvflare.recipe.spec import Recipe

from secagg.engines.nvflare.local_file import LocalFile
from secagg.engines.nvflare.message import Message
from secagg.engines.nvflare.model_file import MODEL_NAME, RESULT_NAME, read_model, write_model
from secagg.engines.nvflare.plan_settings import plan_from, plan_settings
from secagg.engines.nvflare.server_job import ServerJob
from secagg.engines.nvflare.site import site_of
from secagg.engines.nvflare.site_desk import OutOfPlace, SiteDesk, SiteUnavailable
from secagg.engines.server.channel import Failure
from secagg.engines.server.plans import Plan
from secagg.engines.server.round_report import JsonLines
from secagg.engines.wire.work import Plain, Work
from secagg.errors import SecaggError
from secagg.logger import LOGGER

TOPIC: Final = "secagg"
REPORT_NAME: Final = "secagg-rounds.jsonl"
"""One line for each attempt at a round, in the server's part of the result."""

_PACKAGES: Final = ("secagg", "protocols", "dp")
_CODES: Final = frozenset(value for name, value in vars(ReturnCode).items() if name.isupper())
"""FLARE's own return codes. A site can answer with anything in their place."""


class SecureExecutor(Executor):  # type: ignore[misc]  # nvflare has no types.
    """A site's side. It takes nothing from the job: everything is in the site's own `local/secagg.toml`."""

    def __init__(self) -> None:
        super().__init__()
        self._desk: SiteDesk | None = None

    def handle_event(self, event_type: str, fl_ctx: Any) -> None:
        """Open the station when the job starts; until it is open, requests are refused."""
        if event_type != EventType.START_RUN:
            return
        engine = fl_ctx.get_engine()
        engine.register_aux_message_handler(TOPIC, self._handle)
        try:
            table = LocalFile.read(engine.get_workspace().get_site_config_dir()).station(fl_ctx.get_identity_name())
            self._desk = SiteDesk(site_of(table))
        except SecaggError as error:
            LOGGER.error("this site cannot take part: %s", error)
            self.system_panic("the station cannot be opened; the site's log says why", fl_ctx)

    def execute(self, task_name: str, shareable: Any, fl_ctx: Any, abort_signal: Any) -> Any:  # noqa: ARG002
        """Refuse a task."""
        return make_reply(ReturnCode.TASK_UNSUPPORTED)

    def _handle(self, topic: str, request: Any, fl_ctx: Any) -> Any:  # noqa: ARG002
        """Answer a call of the server. Several threads call this."""
        call = Message.of(request)
        if call is None:
            return make_reply(ReturnCode.BAD_REQUEST_DATA)
        if self._desk is None:
            return make_reply(ReturnCode.SERVICE_UNAVAILABLE)
        try:
            found = self._desk.answer(call)
        except OutOfPlace:
            return make_reply(ReturnCode.BAD_REQUEST_DATA)
        except SiteUnavailable:
            return make_reply(ReturnCode.SERVICE_UNAVAILABLE)
        answer = make_reply(ReturnCode.OK)
        answer.update(found.fields())
        return answer


class FlareLink:
    """FLARE's engine on the server, as a `secagg.engines.nvflare.transfer.Link`.

    Args:
        engine: FLARE's engine.
    """

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def call(self, site: str, message: Message, timeout_s: float) -> Message | Failure:
        """Send a call to a site, and return its answer; see `Link`."""
        request = Shareable(message.fields())
        # `multicast_aux_requests` fails in nvflare 2.9.0, and one slow site would hold back the replies of all.
        with self._engine.new_context() as fl_ctx:
            replies = self._engine.send_aux_request([site], TOPIC, request, timeout_s, fl_ctx, optional=True)
        reply = replies.get(site)
        if reply is None:
            return Failure("not connected")
        code = _return_code(reply)
        if code != ReturnCode.OK:
            return Failure(f"FLARE: {code}")
        return Message.of(reply) or Failure("no answer")


def _return_code(reply: Any) -> str:
    """Return the return code of a site's reply, "other" if it is none of FLARE's: a reason is never a site's text."""
    try:
        code = reply.get_return_code()
    except ValueError:  # The site has put something else in the place of the headers.
        return "other"
    return code if type(code) is str and code in _CODES else "other"


class SecureController(Controller):  # type: ignore[misc]  # nvflare has no types.
    """The server's side. FLARE makes it from the job's configuration, so all arguments are plain values.

    Args:
        coordinator: The name of the coordinator, in the server's own `local/secagg.toml`.
        run: The name of the run, which no other run of the federation has.
        rounds: The number of rounds.
        deadline: The seconds after which a step ends without the replies that are missing.
        plan: What `plan_settings` returns.
        settings: What training depends on besides the model.
        min_clients: A round begins when at least that many clients are there.
        clients: The names of the sites that train; None for all of the roster.
    """

    def __init__(
        self,
        coordinator: str,
        run: str,
        rounds: int,
        deadline: float,
        plan: dict[str, Plain],
        settings: dict[str, Plain],
        min_clients: int = 2,
        clients: list[str] | None = None,
    ) -> None:
        super().__init__()
        self.coordinator, self.run, self.rounds, self.deadline = coordinator, run, rounds, deadline
        self.plan, self.settings, self.min_clients, self.clients = plan, settings, min_clients, clients

    def start_controller(self, fl_ctx: Any) -> None:
        """Do nothing; everything is in `control_flow`."""

    def stop_controller(self, fl_ctx: Any) -> None:
        """Do nothing; everything is in `control_flow`."""

    def control_flow(self, abort_signal: Any, fl_ctx: Any) -> None:
        """Run all rounds that are left, and write their reports and the model into the job's folder."""
        engine, job = fl_ctx.get_engine(), fl_ctx.get_job_id()
        workspace, meta = engine.get_workspace(), fl_ctx.get_prop(FLContextKey.JOB_META) or {}
        model = self._job().execute(
            lambda: read_model(Path(workspace.get_app_config_dir(job), MODEL_NAME)),
            FlareLink(engine),
            local=Path(workspace.get_site_config_dir()),
            submitter=meta.get(JobMetaKey.SUBMITTER_NAME),
            is_aborted=lambda: bool(abort_signal.triggered),
            observers=[JsonLines(Path(workspace.get_run_dir(job), REPORT_NAME))],
        )
        write_model(Path(workspace.get_run_dir(job), RESULT_NAME), model)

    def check(self) -> None:
        """Check all arguments.

        Raises:
            ConfigurationError: One is out of its range.
        """
        self._job()

    def _job(self) -> ServerJob:
        return ServerJob(
            coordinator=self.coordinator,
            run=self.run,
            rounds=self.rounds,
            deadline_s=self.deadline,
            plan=plan_from(self.plan),
            settings=self.settings,
            min_clients=self.min_clients,
            clients=self.clients,
        )


class SecureAveragingRecipe(Recipe):  # type: ignore[misc]  # nvflare has no types.
    """Federated averaging with secure sums, as a FLARE recipe for `SimEnv`, `PocEnv` and `ProdEnv`.

    The job holds plain values and the model, and no code.

    Args:
        model: The arrays to begin with: a sequence, or a mapping from names.
        plan: How the mean of each round is planned; see `secagg.engines.averaging`.
        coordinator: The name of the coordinator, in the server's own `local/secagg.toml`.
        rounds: The number of rounds.
        deadline: The seconds after which a step ends without the replies that are missing. The first step trains.
        name: The name of the run, which no other run of the federation has. A job of the same name goes on.
        settings: What training depends on besides the model, such as the learning rate.
        min_clients: A round begins when at least that many clients are there.
        clients: The names of the sites that train; None for all of the roster.

    Raises:
        ConfigurationError: A value is out of its range.
    """

    def __init__(
        self,
        *,
        model: Sequence[ArrayLike] | Mapping[str, ArrayLike],
        plan: Plan,
        coordinator: str,
        rounds: int,
        deadline: float,
        name: str = "secagg",
        settings: Mapping[str, Plain] | None = None,
        min_clients: int = 2,
        clients: Sequence[str] | None = None,
    ) -> None:
        first = Work(name, 1, model, settings)
        controller = SecureController(
            coordinator=coordinator,
            run=name,
            rounds=rounds,
            deadline=deadline,
            plan=plan_settings(plan),
            settings=dict(first.settings),
            min_clients=min_clients,
            clients=None if clients is None else list(clients),
        )
        controller.check()
        job = FedJob(name=name, min_clients=min_clients)
        job.set_app_packages(list(_PACKAGES))  # They are installed everywhere; else FLARE would send their source.
        job.to_server(controller)
        job.to_clients(SecureExecutor())
        # FLARE copies the file when the job is exported or run.
        folder = tempfile.mkdtemp(prefix="secagg-job-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        file = Path(folder, MODEL_NAME)
        write_model(file, dict(zip(first.names, first.arrays, strict=True)))
        job.add_file_to_server(str(file), app_folder_type="config")
        super().__init__(job)
