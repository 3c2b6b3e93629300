"""Invented memories in four kinds of text, as many as are wanted, always the same."""

import itertools
import random
from collections.abc import Iterator, Mapping
from typing import Final

_ENGLISH: Final = """
Anna Kowalski
The user
Her brother Tom
Dr. Marchetti
The neighbour, Mrs. Oyelaran,
Grandfather

prefers quiet hotels near the station
is allergic to hazelnuts and sesame
works night shifts as a nurse
plays second violin in an amateur orchestra
repairs old bicycles in the garage on weekends
wants weekly reports with the numbers first
has been learning Portuguese with flashcards
decided against buying the house by the river
keeps a spare key at the bakery on Elm Street
can't stand phone calls before ten o'clock
drives an electric van that needs new tyres

since the move to Lyon
because of a bad back
and would rather not talk about it
until the thesis is done
when travelling for work
although it costs more
except in August
as agreed on {day} March 2026
for about {day} months now
together with two colleagues from Kraków
"""
_CHINESE: Final = """
用户
女儿小雨
同事王建国
她的丈夫
住在楼上的邻居
外婆

喜欢坐靠窗的座位
对花生和芝麻过敏
在市第一医院当夜班护士
周末在车库里修理旧自行车
正在用卡片学习葡萄牙语
决定不买河边的那套房子
希望周报先写数据再写结论
把备用钥匙放在面包店
上午十点以前不接电话
在业余乐团拉第二小提琴

，因为去年搬到了里昂
，出差的时候除外
，已经坚持了{day}个月
，直到论文写完为止
，虽然价格贵一些
，这是三月{day}日商量好的
，而且不太愿意谈这件事
，和两位来自成都的同事一起
"""
_GERMAN: Final = """
Die Nutzerin
Ihr Bruder Jürgen
Frau Dr. Schäuble
Der Nachbar aus dem Erdgeschoss
Großvater
Anneliese

bevorzugt ruhige Hotels in Bahnhofsnähe
verträgt weder Haselnüsse noch Sesam
arbeitet als Krankenpfleger
spielt zweite Geige in einem Laienorchester
repariert am Wochenende alte Fahrräder in der Werkstatt
wünscht sich Wochenberichte mit den Zahlen zuerst
lernt mit Karteikarten Portugiesisch
hat sich gegen das Haus am Fluss entschieden
bewahrt den Ersatzschlüssel beim Bäcker auf
nimmt vor zehn Uhr grundsätzlich keine Anrufe an
fährt einen Lieferwagen mit Elektroantrieb

seit dem Umzug nach Lyon
wegen der Rückenschmerzen
und möchte darüber nicht sprechen
bis zur Verteidigung
auf Dienstreisen
obwohl es teurer ist
außer im August
wie am {day}. März 2026 vereinbart
seit ungefähr {day} Monaten
gemeinsam mit zwei Kolleginnen aus Göttingen
"""
_CODE: Final = """
api-gateway
billing_service
src/utils/parse.ts
infra/terraform
PaymentProcessor
libgeom-sys

is built with `npm run build -- --mode production`
reads DATABASE_URL="postgres://db:5432/app_{day}"
throws TypeError: Cannot read properties of undefined (reading 'map')
pins numpy>=2.1,<3 in pyproject.toml
exposes GET /v1/users/{id}?expand=orders&limit={day}
uses async def fetch(self, *, timeout: float = 5.0)
logs to /var/log/app/error-2026-03-{day}.log at level=WARN
is deployed by .github/workflows/release.yml
returns Result<Vec<u8>, std::io::Error>
has the feature flag `enable_new_parser` set to false

on branch feature/JIRA-{day}42
(see PR #1{day}7)
// TODO: remove after v2.{day}.0
if (process.env.CI) only
with --max-old-space-size=4096
; rollback: kubectl rollout undo deploy/web-{day}
since commit 9f3c{day}a
"""
KINDS: Final[Mapping[str, str]] = {"english": _ENGLISH, "chinese": _CHINESE, "german": _GERMAN, "code": _CODE}
"""Of each kind who, what and how, a blank line between, each on a line of its own; {day} is a number."""

_SINGLE: Final = 300
"""From so many on each joins two statements, so that there are enough of them."""


def statements(kind: str, count: int) -> list[str]:
    """`count` different statements of one kind."""
    found = dict.fromkeys(itertools.islice(_endless(kind), 2 * count))
    if len(found) < count:
        raise ValueError(f"there are no {count:,} statements of kind {kind}")
    return list(found)[:count]


def _endless(kind: str) -> Iterator[str]:
    chance = random.Random(kind)
    slots = [slot.split("\n") for slot in KINDS[kind].strip().split("\n\n")]
    joint = "" if kind == "chinese" else " "
    for number in itertools.count():
        parts = [joint.join(map(chance.choice, slots)) for _ in range(1 + (number >= _SINGLE or number % 3 == 2))]
        yield "; ".join(parts).replace("{day}", str(chance.randrange(2, 29)))
