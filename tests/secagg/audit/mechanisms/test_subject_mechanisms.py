import numpy as np
import pytest

from dp.noise.distributed import DistributedDiscreteGaussian, DistributedSkellam
from dp.noise.removal import RemovableSkellam
from secagg.audit.mechanisms.law import DiscreteGaussianLaw, SkellamLaw
from secagg.audit.mechanisms.subject import MechanismSubject, share_law
from secagg.audit.seeds import Tape

SIZE = {"l2_sensitivity": 1.0, "dimension": 7}


def test_share_has_the_law_of_the_event() -> None:
    gaussian = DistributedDiscreteGaussian(local_sigma=3.0, minimum_contributors=5, **SIZE)  # type: ignore[arg-type]
    skellam = DistributedSkellam(local_variance=0.5, minimum_contributors=5, **SIZE)  # type: ignore[arg-type]
    assert share_law(gaussian) == DiscreteGaussianLaw(3.0)
    assert share_law(skellam).moments.variance == pytest.approx(0.5)


def test_share_of_removable_noise_has_the_variance_of_all_components() -> None:
    removable = RemovableSkellam(target_variance=9.0, clients=6, tolerance=2, colluding=1, **SIZE)  # type: ignore[arg-type]
    law = share_law(removable)
    assert isinstance(law, SkellamLaw)
    # After two dropouts the noise of four clients is left, of which three are relied on.
    assert law.variance == pytest.approx(9.0 / 3)


def test_pieces_are_one_draw_after_the_other() -> None:
    gaussian = DistributedDiscreteGaussian(local_sigma=3.0, minimum_contributors=5, **SIZE)  # type: ignore[arg-type]
    subject = MechanismSubject.of(gaussian, name="three")
    tape = Tape(b"seed")
    pieces = list(subject.pieces(2**20 + 5, tape))
    assert [piece.size for piece in pieces] == [2**20, 5]
    assert tape.sizes == [32, 32]
    assert np.array_equal(pieces[0], subject.draw(2**20, Tape(b"seed")))
