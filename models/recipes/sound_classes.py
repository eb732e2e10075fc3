"""The sounds the ambience connector names: what it says of each, and which words count as having named it."""

from __future__ import annotations

# label: (what to say, names that count). The first of all names that occurs in an answer decides the class
# (glasses.evaluation.sounds).
CLASSES: dict[str, tuple[str, tuple[str, ...]]] = {
    "dog": ("A dog barking.", ("dog", "bark", "barking", "puppy")),
    "cat": ("A cat meowing.", ("cat", "meow", "meowing", "kitten")),
    "bird": ("A bird singing.", ("bird", "birds", "birdsong", "chirping", "songbird")),
    "owl": ("An owl hooting.", ("owl", "hoot", "hooting")),
    "rooster": ("A rooster crowing.", ("rooster", "cock", "cockerel", "crowing")),
    "chicken": ("A chicken clucking.", ("chicken", "chickens", "hen", "clucking")),
    "cow": ("A cow mooing.", ("cow", "cows", "moo", "mooing", "bull", "cattle")),
    "sheep": ("A sheep bleating.", ("sheep", "goat", "lamb", "bleating")),
    "horse": ("A horse neighing.", ("horse", "neigh", "neighing", "whinnying")),
    "hooves": ("Hooves galloping.", ("hooves", "galloping", "gallop", "trotting")),
    "pig": ("A pig grunting.", ("pig", "pigs", "grunting", "oinking")),
    "duck": ("A duck quacking.", ("duck", "ducks", "goose", "geese", "quacking")),
    "frog": ("A frog croaking.", ("frog", "frogs", "croaking", "toad")),
    "bee": ("A bee buzzing.", ("bee", "bees", "buzzing", "insect", "mosquito", "hornet", "wasp", "fly")),
    "crickets": ("Crickets chirping.", ("cricket", "crickets", "grasshopper")),
    "wolf": ("A wolf howling.", ("wolf", "wolves", "howling", "coyote")),
    "lion": ("A lion roaring.", ("lion", "roaring", "roar", "tiger", "bear")),
    "elephant": ("An elephant trumpeting.", ("elephant", "elephants")),
    "rain": ("Rain falling.", ("rain", "raining", "rainfall")),
    "thunder": ("Thunder rumbling.", ("thunder", "lightning", "thunderstorm")),
    "wind": ("Wind blowing.", ("wind", "blowing")),
    "water": ("Water flowing.", ("water", "waves", "sea", "ocean", "river", "stream")),
    "bubbles": ("Bubbles bubbling.", ("bubbles", "bubbling")),
    "splash": ("A splash.", ("splash", "splashing")),
    "dripping": ("Dripping.", ("dripping", "drip", "drop")),
    "fire": ("Fire crackling.", ("fire", "crackling", "campfire")),
    "footsteps": ("Footsteps.", ("footsteps", "footstep", "walking", "steps")),
    "applause": ("Applause.", ("applause", "clapping", "applauding")),
    "laughter": ("Someone laughing.", ("laughing", "laughter", "laugh")),
    "cough": ("Someone coughing.", ("coughing", "cough")),
    "scream": ("Someone screaming.", ("screaming", "scream")),
    "speech": (
        "Someone speaking.",
        ("speaking", "talking", "voice", "speech", "whispering", "shouting", "man", "woman"),
    ),
    "door": ("A door.", ("door",)),
    "bell": ("A bell ringing.", ("bell", "bells", "chime", "gong")),
    "telephone": ("A telephone ringing.", ("telephone", "phone", "ringtone")),
    "car": ("A car engine.", ("car", "engine", "motor", "truck", "bus", "motorcycle", "traffic")),
    "tyres": ("Tyres screeching.", ("tyres", "tires", "screeching", "skidding")),
    "crash": ("A crash.", ("crash", "crashing")),
    "train": ("A train.", ("train", "locomotive", "railway")),
    "aeroplane": ("An aeroplane.", ("aeroplane", "airplane", "plane", "jet", "aircraft")),
    "helicopter": ("A helicopter.", ("helicopter",)),
    "siren": ("A siren.", ("siren", "sirens", "ambulance")),
    "horn": ("A horn.", ("horn", "honking")),
    "gunshot": ("A gunshot.", ("gunshot", "gunshots", "gun", "shot", "shooting", "gunfire")),
    "explosion": ("An explosion.", ("explosion", "explosions", "exploding")),
    "glass": ("Glass breaking.", ("glass",)),
    "typing": ("Typing on a keyboard.", ("typing", "keyboard", "typewriter")),
    "camera": ("A camera clicking.", ("camera", "shutter")),
    "whistle": ("A whistle.", ("whistle", "whistling")),
    "hammer": ("Hammering.", ("hammering", "hammer", "blacksmith", "anvil")),
    "saw": ("A saw.", ("saw", "sawing", "chainsaw")),
    "chopping": ("Chopping wood.", ("chopping", "axe", "wood")),
    "money": ("Coins.", ("coins", "coin", "money", "cash")),
    "drums": ("Drums.", ("drums", "drum", "drumming")),
    "guitar": ("A guitar.", ("guitar",)),
    "piano": ("A piano.", ("piano",)),
    "violin": ("A violin.", ("violin", "cello", "strings")),
    "flute": ("A flute.", ("flute",)),
    "trumpet": ("A trumpet.", ("trumpet", "trombone")),
}
NOTHING = "Nothing in particular."
NOISE = "Only noise."
TONES = {"calm": "speaking", "whispered": "whispering", "shouted": "shouting"}
# In the order of the connectors' units.
UNITS = sorted([*CLASSES, "nothing", "noise", *(f"{who} {tone}" for who in ("man", "woman") for tone in TONES)])


def reply_to(unit: str) -> str:
    """What to say of a unit."""
    if unit in CLASSES:
        return CLASSES[unit][0]
    if unit in ("nothing", "noise"):
        return NOTHING if unit == "nothing" else NOISE
    who, tone = unit.split()
    return f"A {who} {TONES[tone]}."
