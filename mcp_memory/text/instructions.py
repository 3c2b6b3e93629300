"""Stored text that reads like an order to a model: it is shown with a mark, and is text all the same.

The list is short and precise: what it misses still stands inside the delimiter, and a mark on ordinary memories would
soon be read by nobody.
"""

import unicodedata
from functools import lru_cache
from typing import Final

from mcp_memory.text.patterns import Pattern

_EARLIER: Final = r"(?:previous|prior|earlier|above|preceding|foregoing|existing|current|initial|original|system|other)"
_ORDERS: Final = (
    r"(?:instruction|prompt|rule|direction|directive|guideline|command|constraint|restriction|safeguard"
    r"|programming|training|polic(?:y|ies)|system\s+message)"
)
_FILL: Final = r"(?:(?:all|any|every|each|everything|of|the|your|my|its|these|those|such|and|in)\s+)*"

_RULES: Final = (
    # What a model's own template or a call of a tool looks like.
    (
        ("<",),
        Pattern(
            r"<(?:[|｜][a-z_▁]{2,40}(?:[|｜]|>)|<?/?sys>|(?:start|end)_of_turn>"
            r"|/?(?:\w+:)?(?:tool_(?:call|use|result|response|output)s?|function_(?:call|result)s?|invoke|function)\b)"
        ),
    ),
    (("inst]",), Pattern(r"\[/?inst\]")),
    (
        ('"', "_call'", "_use'"),
        Pattern(
            r"[\"'](?:tool_calls?|function_call|tool_use)[\"']"
            r"|[\"'](?:name|tool|function)[\"']\s*:\s*\"[\w.-]+\"\s*,\s*\"(?:arguments|parameters|input)\"\s*:\s*[{\"]"
        ),
    ),
    (
        ("system", "developer", "assistant", "系统", "系統", "システム", "시스템"),
        Pattern(
            r"(?m)^[\s>#*_\[<(-]{0,12}(?:system|developer|assistant|系统|系統|システム|시스템)[\])>*_]{0,3}"
            r"(?:\s*(?:prompt|message|note|override|instructions?|提示|消息|メッセージ|프롬프트))?[\])>*_]{0,3}\s*[:：]"
        ),
    ),
    # English.
    (
        ("ignor", "disregard", "forget", "overrid", "bypass"),
        Pattern(
            rf"\b(?:ignor(?:e|ing)|disregard(?:ing)?|forget(?:ting)?|overrid(?:e|ing)|bypass(?:ing)?)\s+{_FILL}"
            rf"(?:(?:{_EARLIER}\s+)+{_FILL}(?:\w+\s+){{0,2}}{_ORDERS}"
            rf"|(?:instructions|guidelines|safeguards|system\s+prompt)\b"
            r"|everything\s+(?:you\s+(?:know|were|have\s+been)|above|before\s+this)"
            r"|(?:above|foregoing|preceding)\b\s*(?:$|[.,;:!]|and\b))"
        ),
    ),
    (
        ("you are n", "you're n"),
        Pattern(
            r"(?m)(?:^|[.!?:;,\"“(]\s*|\b(?:and|so)\s+)you(?:\s+are|'re)\s+(?:now\b|no\s+longer\s+(?:bound|restricted|an?\b))"
            r"|\byou(?:\s+are|'re)\s+now\s+(?:acting|operating|free\s+(?:of|from)|in\s+\w+\s+mode|[\w-]*gpt\b|dan\b)"
        ),
    ),
    (
        ("from now on", "from this point"),
        Pattern(r"\bfrom\s+(?:now|this\s+point)\s+on(?:wards?)?,?\s+you\s+(?:are|will|must|shall|act|have\s+to)\b"),
    ),
    (
        ("instruction", "system", "jailb", "developer"),
        Pattern(
            r"\b(?:new|updated|important|secret|hidden|system)\s+instructions?\s*[:：]"
            r"|\b(?:reveal|print|show|repeat|output|leak|disclose)\s+(?:\w+\s+){0,2}(?:system\s+prompt|your\s+instructions)"
            r"|\b(?:jailbroken|jailbreak\s+mode|developer\s+mode\s+(?:is\s+)?(?:enabled|on|activated))\b"
        ),
    ),
    (
        ("the user", "pretend"),
        Pattern(
            r"(?:\b(?:do\s+not|don't|never|without)\s+(?:tell(?:ing)?|inform(?:ing)?|alert(?:ing)?|warn(?:ing)?|notify(?:ing)?"
            r"|ask(?:ing)?|mention(?:ing)?\s+(?:this|it)\s+to)\s+the\s+user\b)|\bpretend\s+(?:that\s+)?you\s+(?:are|have)\b"
        ),
    ),
    (
        ("tool", "_memor"),
        Pattern(
            r"\b(?:call|invoke|execute|run)\s+(?:the\s+)?[`\"']?(?:\w+_\w+[`\"']?\s+(?:tool|function)"
            r"|(?:tool|function)\s+[`\"']?\w+_\w+|(?:add|update|delete|clear|extract|search|list|get)_memor(?:y|ies)\b)"
        ),
    ),
    # Other languages: "ignore the earlier instructions", "you are now a ...".
    (
        ("ignor", "verg", "missacht"),
        Pattern(
            r"\b(?:ignorier\w*|vergiss|vergessen\s+sie|missacht\w*)\s+(?:(?:alle|sämtliche|die|deine|ihre|jegliche|bitte)\s+)*"
            r"(?:bisherig|vorherig|vorig|vorhergehend|vorangegangen|obig|früher|anderen)\w*\s+(?:\w+\s+)?"
            r"(?:anweisung|instruktion|regel|befehl|vorgabe|prompt|anordnung)"
        ),
    ),
    (
        ("du bist", "sie sind"),
        Pattern(
            r"(?m)(?:^|[.!?:]\s*)(?:du\s+bist|sie\s+sind)\s+(?:ab\s+)?(?:jetzt|nun|sofort)\s+(?:k?ein|der|die|das)"
        ),
    ),
    (
        ("ignor", "oubli", "néglige"),
        Pattern(
            r"\b(?:ignore[zr]?|oublie[zr]?|néglige[zr]?)\s+(?:(?:toutes?|tous|les|vos|tes|ces|des)\s+)*"
            r"(?:instructions?|consignes?|règles?|directives?|ordres?)\s+(?:\w+\s+)?"
            r"(?:précédent|antérieur|ci-dessus|d'avant|initial|système)"
        ),
    ),
    (
        ("tu es", "vous êtes"),
        Pattern(r"(?m)(?:^|[.!?:]\s*)(?:tu\s+es|vous\s+êtes)\s+(?:maintenant|désormais)\s+(?:une?|le|la)\b"),
    ),
    (
        ("ignor", "olvid", "desatiend", "dimentic", "esque", "desconsider"),
        Pattern(
            r"\b(?:ignor[aeiá]\w*|olvid[aeá]\w*|desatiend\w+|dimentic\w+|esque[çc]\w+|desconsider\w+)\s+"
            r"(?:(?:todas|tutte|as|las|le|tus|sus|suas|tue|tuas|estas|queste)\s+)*"
            r"(?:instrucciones|instruções|istruzioni|indicaciones|reglas|regras|regole|órdenes|ordens|ordini|diretrizes)\s+"
            r"(?:\w+\s+)?(?:anterior|previ|prévi|preceden|acima|de\s+arriba|do\s+sistema|del\s+sistema)"
        ),
    ),
    (
        ("ahora eres", "o sei", "a sei", "agora"),
        Pattern(
            r"(?m)(?:^|[.!?:]\s*)(?:ahora\s+eres|(?:ora|adesso)\s+sei|você\s+agora\s+é|agora\s+(?:você\s+é|tu\s+és))"
            r"\s+(?:una?|uma?|el|la|il|lo|o|a)\b"
        ),
    ),
    (
        ("negeer", "verg"),
        Pattern(
            r"\b(?:negeer|vergeet)\s+(?:(?:alle|al|de|je|uw)\s+)*(?:vorige|eerdere|voorgaande|bovenstaande)\s+"
            r"(?:instructie|opdracht|regel|bevel|aanwijzing)"
        ),
    ),
    (
        ("игнорир", "забуд"),
        Pattern(
            r"\b(?:про)?(?:игнорируй|забудь)(?:те)?\s+(?:(?:все|всё|свои|эти|те|про)\s+)*"
            r"(?:предыдущ|прежн|вышеуказанн|прошл|системн)\w+\s+(?:\w+\s+)?(?:инструкц|указани|правил|команд|распоряжени)"
        ),
    ),
    (("ты теперь", "теперь ты", "вы теперь"), Pattern(r"(?m)(?:^|[.!?:]\s*)(?:[тв]ы\s+теперь|теперь\s+[тв]ы)\s*[—-]")),
    (
        ("ignoruj", "zapomnij"),
        Pattern(
            r"\b(?:z?ignoruj|zapomnij)\w*\s+(?:o\s+)?(?:\w+\s+){0,2}(?:poprzedni|wcześniejsz|powyższ)\w+\s+"
            r"(?:instrukcj|polece|zasad|reguł)"
        ),
    ),
    (
        ("talimat", "komut"),
        Pattern(
            r"(?:önceki|yukarıdaki|daha\s+önceki)\s+(?:tüm\s+|bütün\s+)?(?:talimat|komut)\w*.{0,20}"
            r"(?:yok\s*say|unut|görmezden|dikkate\s+alma)"
        ),
    ),
    (
        ("abaikan", "lupakan"),
        Pattern(r"\b(?:abaikan|lupakan)\s+(?:semua\s+)?(?:instruksi|perintah|aturan)\s+(?:sebelum|di\s+atas)"),
    ),
    (
        ("bỏ qua", "quên"),
        Pattern(
            r"(?:bỏ qua|quên)\s+(?:tất cả\s+|mọi\s+)?(?:các\s+|những\s+)?"
            r"(?:hướng dẫn|chỉ dẫn|chỉ thị|lệnh)\s+(?:trước|ở trên|bên trên)"
        ),
    ),
    (
        ("忽略", "无视", "無視", "忘记", "忘記", "忘掉", "不要理会", "不要理會", "不要遵守", "绕过", "繞過"),
        Pattern(
            r"(?:忽略|无视|無視|忘[记記掉]|不要理[会會]|不要遵守|[绕繞]过?過?)[^。！？\n]{0,6}"
            r"(?:之前|以前|先前|以上|上述|上面|前面|此前|所有|一切|全部|系统|系統)[^。！？\n]{0,8}"
            r"(?:指令|指示|提示|规则|規則|命令|设定|設定|约束|約束)"
        ),
    ),
    (
        ("你现在是", "你現在是", "从现在", "從現在"),
        Pattern(
            r"你[现現]在是(?:一[个個名位]|不受)|[从從][现現]在(?:起|开始|開始)[，,]?你(?:是|将|將|必须|必須|要|只)"
        ),
    ),
    (
        ("無視し", "無視せ", "忘れて", "忘れろ"),
        Pattern(
            r"(?:以前|これまで|前|上記|先ほど|今まで|すべて|全て)の[^。！？\n]{0,8}(?:指示|命令|ルール|プロンプト|制約|設定)"
            r"[^。！？\n]{0,6}(?:無視[しせ]|忘れ[てろ])"
        ),
    ),
    (("あなたは今", "あなたはこれ"), Pattern(r"あなたは(?:今|これ)から")),
    (
        ("무시", "잊어"),
        Pattern(
            r"(?:이전|위|앞|지금까지|모든|기존)[^.!?\n]{0,10}(?:지시|명령|규칙|지침|프롬프트)[^.!?\n]{0,6}(?:무시|잊어)"
        ),
    ),
    (("너는 이제", "당신은 이제"), Pattern(r"(?:너는|당신은)\s+이제")),
    (
        ("تجاهل", "انس"),
        Pattern(r"(?:تجاهل|انس)\w*\s+(?:\w+\s+){0,2}(?:التعليمات|الأوامر|القواعد|الإرشادات|تعليمات|أوامر)"),
    ),
    (("أنت الآن",), Pattern(r"أنت\s+الآن\s+\w+")),
    (
        ("निर्देश", "आदेश"),
        Pattern(
            r"(?:पिछले|पहले\s+के|पूर्व|सभी|ऊपर)[^।!?\n]{0,20}(?:निर्देश|आदेश)[^।!?\n]{0,15}(?:अनदेखा|नज़रअंदाज़|नजरअंदाज|भूल|अनदेखी)"
        ),
    ),
)
"""Each pattern with what any match of it holds, in lower case."""

_STEMS: Final = tuple(
    (stem, tuple(pattern for stems, pattern in _RULES if stem in stems))
    for stem in dict.fromkeys(stem for stems, _ in _RULES for stem in stems)
)
_ASCII_STEMS: Final = tuple((stem, patterns) for stem, patterns in _STEMS if stem.isascii())


@lru_cache(4_096)
def reads_like_an_instruction(text: str) -> bool:
    """Whether `text` orders a model about, in any of some twenty languages, or poses as a part of its prompt."""
    if text.isascii():
        folded, stems = text.lower(), _ASCII_STEMS
    else:
        folded, stems = unicodedata.normalize("NFKC", text).lower(), _STEMS
    # Most texts hold none of the stems, which is told in a few microseconds.
    likely = [patterns for stem, patterns in stems if stem in folded]
    return any(pattern.search(folded) for patterns in likely for pattern in patterns)
