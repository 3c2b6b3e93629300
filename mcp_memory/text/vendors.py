"""Keys and tokens in the forms in which vendors issue them: a piece that every one of them holds, and the whole."""

from typing import Final

ISSUED: Final = (
    # Models and search
    ("sk-", "API key", r"sk-(?:[a-z]{1,12}\d{0,3}-){0,4}(?=[\w-]{0,200}\d)[\w-]{20,300}"),
    ("sk_", "API key", r"sk_(?:live_|test_)?[A-Za-z0-9]{16,250}"),
    ("k_live_", "API key", r"[pr]k_live_[A-Za-z0-9]{16,250}"),
    ("rk_test_", "API key", r"rk_test_[A-Za-z0-9]{16,250}"),
    ("AIza", "API key", r"AIza[\w-]{35}"),
    ("gsk_", "API key", r"gsk_[A-Za-z0-9]{32,}"),
    ("xai-", "API key", r"xai-[A-Za-z0-9]{32,}"),
    ("r8_", "API key", r"r8_[A-Za-z0-9]{30,}"),
    ("pplx-", "API key", r"pplx-[A-Za-z0-9]{32,}"),
    ("nvapi-", "API key", r"nvapi-[\w-]{40,}"),
    ("tvly-", "API key", r"tvly-(?:dev-|prod-)?[A-Za-z0-9]{20,}"),
    ("pcsk_", "API key", r"pcsk_\w{30,}"),
    ("lsv2_", "API key", r"lsv2_(?:pt|sk)_[0-9a-f_]{32,}"),
    ("jina_", "API key", r"jina_\w{32,}"),
    ("fc-", "API key", r"fc-[0-9a-f]{32}"),
    ("BSA", "API key", r"BSA[\w-]{24,32}"),
    ("e2b_", "API key", r"e2b_[0-9a-f]{32,}"),
    ("hf_", "access token", r"hf_[A-Za-z0-9]{30,}"),
    # Code and packages
    ("gh", "access token", r"gh[pousr]_[A-Za-z0-9]{36,255}"),
    ("github_pat_", "access token", r"github_pat_\w{50,255}"),
    ("gl", "access token", r"gl(?:pat|dt|rt|ptt|cbt|ft|soat|agent)-[\w-]{20,}"),
    ("npm_", "access token", r"npm_[A-Za-z0-9]{36}"),
    ("pypi-", "access token", r"pypi-AgE[\w-]{50,}"),
    ("rubygems_", "API key", r"rubygems_[0-9a-f]{48}"),
    ("dckr_pat_", "access token", r"dckr_pat_[\w-]{20,}"),
    ("ATATT3x", "access token", r"ATATT3x[\w=-]{100,}"),
    ("ATBB", "access token", r"ATBB[A-Za-z0-9]{28,}"),
    ("sntry", "access token", r"sntry[su]_[\w+/=-]{40,}"),
    ("PMAK-", "API key", r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}"),
    ("lin_api_", "API key", r"lin_api_[A-Za-z0-9]{32,}"),
    ("figd_", "access token", r"figd_[\w-]{36,}"),
    ("secret_", "access token", r"secret_[A-Za-z0-9]{43}"),
    ("ntn_", "access token", r"ntn_[A-Za-z0-9]{40,}"),
    ("pat", "access token", r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}"),
    # Clouds
    ("AKIA", "API key", r"AKIA[0-9A-Z]{16}"),
    ("ASIA", "API key", r"ASIA[0-9A-Z]{16}"),
    ("LTAI", "API key", r"LTAI[A-Za-z0-9]{12,26}"),
    ("AKID", "API key", r"AKID[A-Za-z0-9]{30,40}"),
    ("GOCSPX-", "API key", r"GOCSPX-[\w-]{24,}"),
    ("ya29.", "access token", r"ya29\.[\w-]{20,}"),
    ("1//0", "access token", r"1//0[\w-]{40,}"),
    ("8Q~", "API key", r"[\w.~-]{3}8Q~[\w.~-]{34}"),
    ("do", "access token", r"do[oprt]_v1_[0-9a-f]{64}"),
    ("dapi", "access token", r"dapi[0-9a-f]{32}(?:-\d)?"),
    ("hvs.", "access token", r"hvs\.[\w-]{24,}"),
    (".atlasv1.", "access token", r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{60,}"),
    ("dp.", "access token", r"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[\w-]{2,35}\.)?[A-Za-z0-9]{40,}"),
    ("nfp_", "access token", r"nfp_[A-Za-z0-9]{36,}"),
    ("HRKU-", "API key", r"HRKU-[\w-]{36,}"),
    ("sbp_", "access token", r"sbp_[0-9a-f]{40}"),
    ("pscale_", "access token", r"pscale_(?:tkn|pw|oauth)_[\w.=-]{32,}"),
    ("glsa_", "access token", r"glsa_\w{32}_[0-9a-f]{8}"),
    ("glc_", "access token", r"glc_[\w+/=]{32,}"),
    ("NRAK-", "API key", r"NRAK-[A-Z0-9]{27}"),
    # Messages and mail
    ("xox", "access token", r"xox[abeoprs]-[\w-]{10,}"),
    ("xapp-", "access token", r"xapp-\d-[A-Z0-9]+-\d+-[0-9a-f]{32,}"),
    ("hooks.slack.com", "access token", r"hooks\.slack\.com/(?:services|workflows)/T\w+/[AB]\w+/[\w/]{16,}"),
    ("/api/webhooks/", "access token", r"discord(?:app)?\.com/api/webhooks/\d{16,20}/[\w-]{40,}"),
    ("webhook.office.com", "access token", r"[A-Za-z0-9]{1,64}\.webhook\.office\.com/webhookb2/[\w@/-]{60,}"),
    (":AA", "access token", r"\d{8,10}:AA[\w-]{32,34}"),
    (".", "access token", r"[MNO][A-Za-z\d_-]{23,27}\.[\w-]{6}\.[\w-]{27,40}"),
    ("SG.", "API key", r"SG\.[\w-]{16,}\.[\w-]{16,}"),
    ("SK", "API key", r"SK[0-9a-f]{32}"),
    ("key-", "API key", r"key-[0-9a-f]{32}"),
    ("-us", "API key", r"[0-9a-f]{32}-us\d{1,2}"),
    ("xkeysib-", "API key", r"xkeysib-[0-9a-f]{64}-\w{16}"),
    ("re_", "API key", r"re_[A-Za-z0-9]{6,12}_[A-Za-z0-9]{20,}"),
    (":APA91b", "API key", r"[\w-]{11}:APA91b[\w-]{100,}"),
    ("EAA", "access token", r"EAA[A-Za-z0-9]{60,}"),
    # Payment and shops
    ("whsec_", "API key", r"whsec_[A-Za-z0-9+/=]{24,}"),
    ("shp", "access token", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    ("sq0", "access token", r"sq0[a-z]{3}-[\w-]{22,43}"),
    ("access-", "access token", r"access-(?:sandbox|development|production)-[0-9a-f-]{36}"),
    # Standards
    ("eyJ", "access token", r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"),
    ("AGE-SECRET-KEY-", "private key", r"AGE-SECRET-KEY-1[A-Z0-9]{58}"),
    ("AccountKey=", "API key", r"AccountKey=[A-Za-z0-9+/]{40,}={0,2}"),
    ("SharedAccessKey=", "API key", r"SharedAccessKey=[A-Za-z0-9+/]{40,}={0,2}"),
    ("sig=", "access token", r"sig=(?:[A-Za-z0-9]|%2[BbFf]|%3[Dd]){40,}"),
)
"""What a text must hold, what it is then called, and the pattern, before which no letter, digit or hyphen stands."""

LONGEST_WORD: Final = 20
"""A text whose longest run without blanks is shorter holds none of them."""

NUMBERED: Final = (
    (r"4\d{12}(?:\d{3})?", "Visa"),
    (r"(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}", "Mastercard"),
    (r"3[47]\d{13}", "American Express"),
    (r"(?:6011|64[4-9]\d|65\d\d)\d{12}", "Discover"),
    (r"35(?:2[89]|[3-8]\d)\d{12}", "JCB"),
    (r"3(?:0[0-5]|[68]\d)\d{11}", "Diners"),
    (r"62\d{14,17}", "UnionPay"),
    (r"220[0-4]\d{12}", "Mir"),
    (r"(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{8,15}", "Maestro"),
)
"""Numbers of cards, by the ranges that their issuers have (ISO/IEC 7812)."""

IBAN_LENGTHS: Final = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
    "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 "
    "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 "
    "PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 "
    "YE30"
)
"""Countries and the length of their IBANs (SWIFT's registry)."""
