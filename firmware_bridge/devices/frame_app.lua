-- The device's side of the session: runs on Brilliant Labs Frame and Halo, uploaded by frame.py.
-- It takes messages of the host, answers each packet with 01 00 00, and never waits for one thing while another
-- could go on: a photograph is sent a packet at a time between packets of sound.

local TEXT, PHOTO, MIC, BATTERY, SPEAKER = 0x20, 0x21, 0x22, 0x23, 0x24 -- from the host
local SOUND, SOUND_END, IMAGE, IMAGE_END, TAP, CLICK, LEVEL, TROUBLE = 0x05, 0x06, 0x07, 0x08, 0x09, 0x0B, 0x0C, 0x0E
local BUSY, CAPTURE = 1, 2
local QUALITIES = { 'VERY_LOW', 'LOW', 'MEDIUM', 'HIGH', 'VERY_HIGH' }
local CAPTURE_TIMEOUT_S = 3

local inbox, head, tail = {}, 1, 0 -- whole messages: the receive callback adds, the loop takes
local code, wanted, parts, got -- the message under way
local mic_on, mic_seq = false, 0
local photo -- { ready, since, size }

local function send(data)
  -- fails while the radio's queue is full; after two seconds nobody listens any more
  for _ = 1, 400 do
    if pcall(frame.bluetooth.send, data) then return true end
    frame.sleep(0.005)
  end
  return false
end

local function room()
  -- with marker and flag a notification then fits into one link-layer packet, and the sound has whole samples
  local bytes = math.min(frame.bluetooth.max_length() - 2, 240)
  return bytes - bytes % 2
end

local function receive(packet)
  local first = string.byte(packet, 1)
  if code ~= first then
    code, wanted, parts, got = first, string.byte(packet, 2) << 8 | string.byte(packet, 3), {}, 0
    packet = string.sub(packet, 4)
  else
    packet = string.sub(packet, 2)
  end
  parts[#parts + 1] = packet
  got = got + #packet
  if got >= wanted then
    tail = tail + 1
    inbox[tail] = { code, table.concat(parts) }
    code = nil
  end
  send('\x01\x00\x00')
end

local function trouble(kind, text)
  photo = nil
  send(string.char(TROUBLE, kind) .. tostring(text))
end

local function show(data)
  -- one byte of line height, then lines
  local height, y = string.byte(data, 1), 1
  if frame.HARDWARE_VERSION ~= 'Frame' then frame.display.clear(0) end
  for line in (string.sub(data, 2) .. '\n'):gmatch('(.-)\n') do
    frame.display.text(line == '' and ' ' or line, 1, y)
    y = y + height
  end
  frame.display.show()
end

local function begin_photo(data)
  if photo then return send(string.char(TROUBLE, BUSY) .. 'a photograph is under way') end
  local quality, resolution = QUALITIES[string.byte(data, 1) + 1], string.byte(data, 2) << 8 | string.byte(data, 3)
  local ok, why = pcall(frame.camera.capture, { resolution = resolution, quality = quality, pan = 0 })
  if not ok then return trouble(CAPTURE, why) end
  photo = { ready = false, since = frame.time.utc(), size = 0 }
end

local function go_on_with_photo()
  if not photo.ready then
    photo.ready = frame.camera.image_ready()
    if not photo.ready and frame.time.utc() - photo.since > CAPTURE_TIMEOUT_S then trouble(CAPTURE, 'no image') end
    return
  end
  local ok, data = pcall(frame.camera.read, room())
  if not ok then return trouble(CAPTURE, data) end
  if data == nil then
    send(string.char(IMAGE_END) .. string.pack('>I4', photo.size)) -- what must have come
    photo = nil
  elseif data ~= '' then
    photo.size = photo.size + #data
    send(string.char(IMAGE) .. data)
  end
end

local function switch_mic(data)
  mic_on = string.byte(data, 1) == 1
  if mic_on then
    mic_seq = 0
    frame.microphone.start({ sample_rate = 16000, bit_depth = 16 })
  else
    frame.microphone.stop()
    send(string.char(SOUND_END))
  end
end

local function switch_speaker(data)
  -- what is played comes by a characteristic of its own, past Lua
  if string.byte(data, 1) == 1 then
    frame.speaker.start({ encoder = 'pcm', sample_rate = 16000, bit_depth = 16, channels = 1 })
  else
    frame.speaker.stop()
  end
end

local function go_on_with_sound()
  local data = frame.microphone.read(room())
  if data and data ~= '' then
    send(string.char(SOUND, mic_seq) .. data)
    mic_seq = (mic_seq + 1) % 256
    return true
  end
  return false
end

local handlers = {
  [TEXT] = show,
  [PHOTO] = begin_photo,
  [MIC] = switch_mic,
  [SPEAKER] = switch_speaker,
  [BATTERY] = function() send(string.char(LEVEL, math.floor(frame.battery_level()))) end,
}
local kinds = { single = 1, double = 2, triple = 3 } -- Halo tells them apart, Frame sends each tap

frame.imu.tap_callback(function(kind) send(string.char(TAP, kinds[kind] or 0)) end)
if frame.button then
  frame.button.single(function() send(string.char(CLICK, 1)) end)
  frame.button.double(function() send(string.char(CLICK, 2)) end)
  frame.button.long(function() send(string.char(CLICK, 3)) end)
end
frame.bluetooth.receive_callback(receive)
print('glasses app ready')

local exposed = 0
while true do
  local busy = false
  while head <= tail do
    local message = inbox[head]
    inbox[head] = nil
    head = head + 1
    local handler = handlers[message[1]]
    if handler then
      local ok, why = pcall(handler, message[2])
      if not ok then print('message ' .. message[1] .. ': ' .. tostring(why)) end
    end
  end
  if mic_on then busy = go_on_with_sound() end
  if photo then
    go_on_with_photo()
    busy = true
  elseif frame.time.utc() - exposed >= 0.1 then -- exposure must have settled when a photograph is asked for
    exposed = frame.time.utc()
    if frame.camera.auto then pcall(frame.camera.auto, {}) end
  end
  frame.sleep(busy and 0.001 or 0.01)
end
