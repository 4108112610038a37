"""A native trace that was written before calls had their own columns: the format on disk has not changed."""

from __future__ import annotations

import base64
import io
import tarfile
from pathlib import Path

import pytest

from htrun.analysis.trace import Trace
from htrun.events.call_texts import split
from htrun.events.syscalls import ARCH_I386, ARCH_X86_64

_WRITTEN = """
/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4E//BThdADaZSu6XoY9O+Re+VS2FCNBy16EQiqnc87V56YblAraI0eSYqtdaQIErSyfKDPVVmZi2Krfqw6wDvb
AQmTwhkYRsckeAPzEsHcIEMgHM25Xg0ZWT2FGY74Ln15Vr+FU0El0Dkb+Rtolybd4+tw/lGmvt0LCUuguGimF3PtjsFwMfRbldE/+ltC5NAh6nyzw49Usf
erx0qvqZQmWhbbvs0IdPVQuk5r4c15guwoppxT7jUYx3hFBpU5Vmry2q+tx0mD9104h1alJujMprrGm58fYFrvHjiswEIJ4tGvBWNGFhWWnBDxeE5iv/wt
vrRPuzlTmN65dbIUow/Ks4JSLJI9az5ZSdFxRLr46SKfTAuuwHXNa0niRnBZ+fV8ohsQCojhPhOnWMbCpPfwJDjjw688Haa5HmXoxARDVfNEqOfvcsgEph
0rd38pR5V7Dty9mEiuSVW1qam8eDL8OgLiVCt95NmlKUaf2NjTYh68G2jB3j+JXH6NoUEEPBJwgIU+gCn/a0+fDbcsyLIqQQnLOfwUHyXEG0aRmMR/JeS9
8g/Ng9pQm2PBebXw2vEp9qQ4AELFkzomSYClymdLBm7rhDpAwjfLcgfEB97knPRjCiUod0OTMZ/06PAc7LxSkF72ckhNpsIzTtkD4Eg8y+hzEu7rw64IhR
f3i8xexGTGOaaIspeAL7uAV3lIxUbgNiqzlXxHViFSVlrLngMDThhG/zt7V124XI2rYgTuqolZDRvGX/ylCVubDGpcTSl3HJuzcmNnGGt2n8yK1pPHCovm
43VgzAo1BATQQGcCvMmuMnfJrw2jDCmJXcTfqrUROqibkrZeVTHVEfjyfm5hibuvIfST3QRzMsmW0ck0mkicFhrpA8IEZyev99lMeN4v7WK4CGW6UQJu3L
ySE2TkkPQpTEmXgaUrhGf1EKwuDPjbuMpcILYJPfhsNnMSqQiOoEeb22ect9u++RtETBgl2O9dwGB/xI67qYEiC6oQYg+TswtEfEeFWqADesqaez9nWUwS
8xVAXxRwPc//urIfx2wWhbCzFYwaZjFVqC/1Nx1u4XsscRphA7b7/QsoHoonB7p6HnVoahlRX5IGRvs1Z4+odHrW6eAnYvM1XH9N8dCxsj1vnHavwZ9Z9M
oylkVMZSBDRFAe4H4nnkLqciWrENpjSgIlGgQeAPxGjX60nHigkV5HZ2i+tBzHL9HLOVqvI4WlbB2L4TGVUKqt/lL4IPhbFBwWLezdKWzcWR8qWMRkBdXn
unGr2TR5TnEZvKNnGzNEl9JU4FpdJpskQsm+b5SJLCkj0B5JiQkLE1/R3mHki4zrXmSnd4/OaQ96ehsH2+SdbRiXZjfVWj6cyWjr+A3+7D/LN5tZvDjUCs
n4oo7MOInt/PAulCIivVWrzQDuImScy/dkrLU9YJNe6y4eTcT2FG4/tSEiazvPZjGwaDGwfl09/Jdjm5T7UQQ+GDJtCt3RxsHRFHiklf3pYK9I2R6WsVb3
d05QXlgHgItoK+RuDczzzDoo+8SqIy2YClLG7FtPyO1S9OSj2A+Imoq/YWIvrEPhoHQwcgiCofQWTMGeIx8W4NydqB/RcijMTgi/k/XiJ8m6w8hCRNUFLT
HJG+iv4XM523bs0wk24MNxnlOjQr+xcAt+BoG4/mARkfwl+SuIgOMCEmWx36Up+zR9YRUlCV/fguj2T6o0SqO4sikVUw5sRjkIMEMVedLqQ6URYSIInXgP
Lrlkx6ggUmnt3aRT29Mi2CegyD0xoxjdqdIac2UAfrN/Ycm8Dh9AAAM5jBR/Bt0c4AAdQKgKABAF9IcC2xxGf7AgAAAAAEWVo=
"""


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    """The enter event of a thread, calls of two threads and interfaces, a text, a return, a call without a number, and
    an event with an index."""
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(_WRITTEN)), mode="r:xz") as files:
        files.extractall(tmp_path, filter="data")
    return Trace.open(tmp_path)


def test_events_of_an_old_trace(trace: Trace) -> None:
    assert [(each.time, each.name, each.stream.tid, each.num, each.arch) for each in trace] == [
        (1, "guest_cpu_enter", 10, None, None),
        (2, "guest_user_syscall", 10, 257, ARCH_X86_64),
        (3, "guest_user_syscall", 11, 4, ARCH_I386),
        (4, "guest_user_syscall_ret", 10, 257, ARCH_X86_64),
        (5, "guest_user_syscall", 11, 2**32 - 1, ARCH_X86_64),
        (6, "guest_hypertrace", 10, None, None),
    ]
    assert [(each.site, each.index, each.args) for each in trace if each.index is not None] == [(2, 3, (8, 9))]


def test_texts_of_an_old_trace(trace: Trace) -> None:
    [events] = trace.events(texts=True)
    calls, texts = split(events)
    assert calls["num"].tolist() == [0, 257, 4, 257, 2**32 - 1, 0]
    assert [text.data for text in texts.of(1, 1)] == [b"/etc/hosts"]
