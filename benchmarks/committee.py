"""A committee's key of 3072 bits for benchmarks: 3 of 5 members, s = 2, dealt anew in each process.

Its primes are fixed and public, made once by `safe_prime`, so that no benchmark waits for any: such a key protects
nothing.
"""

from typing import Final

from protocols.crypto.paillier.threshold import deal

SAFE_P: Final = int(
    "f2b060ab077e4f263765aa01ad1950c524ae9613a9301c28d2c5a267ac39e4251df34b32df9557b223857b0572bc01c4"
    "b25f45601461c4d78bebb13e28087370c48d18b624645b3d010df3c40af063dc0de33958565a0dc168735212e493acd5"
    "a94cbca8250957ba053b261978411b7f1a7f8f55430fdb5aa37dff4aa7b0f232196a9b3cd8339bf0b99f13085fb68f1b"
    "82e6d049a273d5136fdb0ac05ac79d1c6b943f2cccf8f4c3210ed83d98ecabfb2ba9a275cb5c8ebd21a550c4a54a9127",
    16,
)
SAFE_Q: Final = int(
    "f613f0005496bafa70a672dcf861e267937ea0ee3e1357bf5ec90cf59cd613bb70c75a1c352f437ed66463a4025fecd8"
    "04f7625ccd5e45c2cf6c7d8cd431ccf604547d569751424ccc6e71ba19f321a4b3e13f538511dbc2baa6307371705343"
    "02764adf4909dc0827c249593a04de9b9cc7a40fc2d086d42b844f174d2e318487eae23c06b172bf79316e653fafe3b9"
    "9555b896c41499ddeb33de322fe56ec27ac92231b671c7f0f7f1cd21af717b61003f79be52d81f3c962a891eaa15deef",
    16,
)

KEY, SHARES = deal(SAFE_P, SAFE_Q, 2, members=5, threshold=3)
